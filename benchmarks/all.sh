#!/usr/bin/env bash
# The benchmarks that need no GPU, in ten to twenty minutes on two cores: benchmarks/results.md.   Environment: PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
results=benchmarks/results.md
echo "Written by \`make bench\`; a ratio is the median of those of the rounds, with their range." >$results.part
speed() { echo "== $*"; "${PYTHON:-python}" benchmarks/speed.py "$@" --output $results.part; }

speed --steps 2 --repeats 4
speed --parts step --batch_size 128 --steps 2 --repeats 3
! grep -qsE 'amx_bf16|avx512_bf16' /proc/cpuinfo || speed --parts step predict --precision bf16 --steps 2 --repeats 3
speed --scale 1 4 16 --clips 24785 --arch mobilenet_v3_small --steps 4 --repeats 6
mv $results.part $results
