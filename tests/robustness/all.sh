#!/usr/bin/env bash
# Every attack in full: docs/robustness.md.   Environment: PYTHON.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python} results=docs/robustness.md
cat >$results.part <<'EOF'
# What broken files, full disks and sudden deaths do

Written by `make robustness`.  Each attack is one command, which its section names; it fails if it finds a problem, and
`make test` runs each in small.

EOF
attack() { echo "== $1"; "$python" "tests/robustness/$1.py" "${@:2}" --output $results.part; }

attack kills --kills 50 --seed 1
attack disk_full
attack fuzz_csv --mutants 500
attack fuzz_audio --mutants 2000
mv $results.part $results
