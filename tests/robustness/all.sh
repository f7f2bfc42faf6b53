#!/usr/bin/env bash
# Every attack in full, written to docs/robustness.md.   Environment: PYTHON.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ROBUSTNESS_REPORT=docs/robustness.md.part
cat >$ROBUSTNESS_REPORT <<'EOT'
# What broken files, full disks and sudden deaths do

Written by `make robustness`. The attacks are tests, in `tests/robustness`; `make test` runs each in small.
EOT
"${PYTHON:-python}" -m pytest -n 0 tests/robustness
mv $ROBUSTNESS_REPORT docs/robustness.md
