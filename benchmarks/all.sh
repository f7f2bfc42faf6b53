#!/usr/bin/env bash
# The benchmarks that need no GPU, under ten minutes on two cores: benchmarks/results.md.   Environment: PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python} results=benchmarks/results.md
rm -f $results.part
echo "Written by \`make bench\` on $(date -u +%F); a ratio is the median of those of the rounds, with their range." >$results.part
bench() { echo "== $1"; "$python" "benchmarks/$1.py" "${@:2}" --output $results.part; }

bench step --batch_sizes 32 --steps 2 --repeats 4 --warm_up 4
bench step --batch_sizes 128 --steps 1 --repeats 3 --warm_up 3
bf16=; grep -qsE 'amx_bf16|avx512_bf16' /proc/cpuinfo && bf16=yes
[[ $bf16 ]] && bench step --batch_sizes 32 --steps 2 --repeats 3 --warm_up 4 --precision bf16
bench features --clips 250 --repeats 3
bench predict --clips 8 --repeats 3
[[ $bf16 ]] && bench predict --clips 8 --repeats 3 --precision bf16
bench scale --steps 4 --repeats 6
bench precision --n_iter 30
mv $results.part $results
