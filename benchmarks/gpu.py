"""Training step on one GPU: benchmarks/step.py at full data size, 2,000 timed steps, bf16, channels_last, compiled.

It makes its own data (9 GB on disk and on the GPU, 2 GB for the plain pipeline) and needs no network and none of the
audio packages.  For a try without a GPU:

    python benchmarks/gpu.py --device cpu --compile off --precision fp32 --clips 200 --batch_sizes 8 --steps 1
"""

import sys
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

from benchmarks import step
from benchmarks.synthetic import FULL_SIZE
from utils.errors import run

ON_A_GPU = {
    "device": "cuda",
    "precision": "bf16",
    "compile": "default",
    "batch_sizes": [128],
    "clips": FULL_SIZE,
    "steps": 100,
    "plain_steps": 5,
    "repeats": 20,
    "warm_up": 20,
}

if __name__ == "__main__":
    run(partial(step.main, ON_A_GPU))
