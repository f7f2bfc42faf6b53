"""Training step: train.py's own, everything on, against the bare network and against a plainly written pipeline.

Data are random, made in a temporary folder.  At batch 128 the processes hold some 15 GB between them.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import time
from datetime import timedelta
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib import cpu_count
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import contenders
from benchmarks.common import MODES, Row, publish, refuse_mode
from benchmarks.rounds import Contender, Timing, add_round_flags, comparison, serve, timed_rounds
from benchmarks.synthetic import CLASSES, write_clip_files, write_dataset
from loaders.pcen import AudioSettings
from models import ARCHS
from train import build_model
from utils.cli import make_parser, natural_int, positive_int
from utils.devices import DTYPES, pick_device, set_up_device
from utils.errors import run

CONTENDERS = {
    "step": ("train.py's step", contenders.real_step),
    "bare": ("bare network", contenders.bare_network),
    "contiguous": ("bare network, contiguous", contenders.contiguous_network),
    "plain": ("plain pipeline, fp32", contenders.plain_pipeline),
}
GOALS = {  # device, contender, batch size
    ("cpu", "bare", 32): "at least 0.95",
    ("cpu", "bare", 128): "at least 0.95",
    ("cpu", "plain", 32): "at least 1.3",
    ("cpu", "plain", 128): "at least 2",
    ("cuda", "bare", 128): "at least 0.90",
    ("cuda", "plain", 128): "at least 15",
}
PLAIN_CLIPS = 2000  # at most; so few stay in the page cache, which favours the plain pipeline


def main(defaults: dict[str, Any] | None = None) -> None:
    """defaults: of flags, in place of this script's own."""
    args = parse_args(defaults or {})
    if args.worker:
        serve(lambda: CONTENDERS[args.worker][1](args))
        return
    rows, notes, steps = [], [], {}
    with TemporaryDirectory() as folder:
        settings = AudioSettings(n_mels=args.img_rows)
        write_dataset(Path(folder), args.clips, settings)
        if "plain" in args.contenders:
            write_clip_files(Path(folder), settings, PLAIN_CLIPS)
        for batch_size in args.batch_sizes:
            lines, timing = measure(args, batch_size, Path(folder))
            rows += lines
            notes.append(extrapolation(args, batch_size, timing))
            steps[batch_size] = median(timing.rounds)
    notes.append(arithmetic(args, steps))
    facts = f"{args.arch}, crops {args.img_rows} x {args.img_cols}, {args.precision}, {args.mode}, "
    facts += f"{args.clips:,} clips; n = {args.repeats} rounds of {args.steps} steps in turn"
    facts += f" ({args.plain_steps} of the plain pipeline)" if args.plain_steps else ""
    publish("Training step", facts, rows, notes, args)


def measure(args: argparse.Namespace, batch_size: int, folder: Path) -> tuple[list[Row], Timing]:
    """The table's lines for a batch size, and the first contender's times."""
    entrants = [
        Contender(
            name,
            CONTENDERS[name][0],
            GOALS.get((args.device, name, batch_size), ""),
            amount=args.plain_steps if name == "plain" and args.plain_steps else args.steps,
            flags=("--batch_sizes", str(batch_size)),
            folder=folder,
        )
        for name in args.contenders
    ]
    timings = timed_rounds(entrants, args.repeats, args.warm_up)
    lines = comparison(entrants, timings, "step", batch_size)
    return [{"batch": str(batch_size)} | line for line in lines], timings[0]


def extrapolation(args: argparse.Namespace, batch_size: int, timing: Timing) -> str:
    """How long five folds of 40,000 steps would take at this speed."""
    step = median(timing.rounds)
    whole = timedelta(seconds=round(5 * (timing.cold + 40_000 * step)))
    return (
        f"Batch {batch_size}: 5 folds x 40,000 steps of {1000 * step:.3g} ms and 5 cold starts would take {whole}, "
        f"from {args.steps * args.repeats:,} timed steps, validation apart (goal at batch 128 on one H100: 20 minutes)."
    )


def arithmetic(args: argparse.Namespace, steps: dict[int, float]) -> str:
    """How much arithmetic a clip needs, and what share of a step it takes: the least time without any overhead.

    steps: seconds of a step of each batch size.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build_model(contenders.training_args(args), len(CLASSES))
        model(torch.empty(2, 1, args.img_rows, args.img_cols))
    macs = counter.get_total_flops() / 2 / 2
    rate = matmul_rate(args)
    shares = ", ".join(f"{6 * macs * size / rate / step:.0%} of a step of {size}" for size, step in steps.items())
    return (
        f"The network alone is {macs / 1e9:.3f} GMAC a clip forward, some {6 * macs / 1e9:.1f} GFLOP with backward; at "
        f"the {rate / 1e9:,.0f} GFLOP/s that a large matrix product reaches here in {args.precision}, {shares}."
    )


def matmul_rate(args: argparse.Namespace) -> float:
    """FLOP/s of a product of two large square matrices, the best of ten."""
    device = pick_device(args.device)
    set_up_device(device)  # TF32 where the contenders have it
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.rand(size, size, device=device, dtype=DTYPES[args.precision])
    seconds = []
    for _ in range(10):
        contenders.wait_for(device)
        began = time.perf_counter()
        matrix @ matrix
        contenders.wait_for(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def parse_args(defaults: dict[str, Any]) -> argparse.Namespace:
    script = Path(sys.argv[0]).name
    parser = make_parser(__doc__, f"python benchmarks/{script} --batch_sizes 32 --output results.md")
    what = parser.add_argument_group("what")
    what.add_argument(
        "--contenders", nargs="+", default=["step", "bare", "plain"], choices=CONTENDERS, help="beside step"
    )
    what.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    what.add_argument("--batch_sizes", nargs="+", type=positive_int, default=[32, 128], help="clips of a step")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--clips", type=positive_int, default=1000, help="of the random data set")
    where = parser.add_argument_group("where")
    where.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what is measured")
    where.add_argument("--precision", default="fp32", choices=DTYPES, help="of the first two")
    where.add_argument("--mode", default="eager", choices=MODES, help="as it is, as CUDA graphs (on a GPU), compiled")
    where.add_argument("--workers", type=positive_int, default=min(8, cpu_count()), help="of the plain DataLoader")
    rounds = parser.add_argument_group("rounds")
    rounds.add_argument("--steps", type=positive_int, default=2, help="of a round")
    rounds.add_argument("--plain_steps", type=natural_int, default=0, help="of the plain pipeline's; 0: as many")
    rounds.add_argument("--warm_up", type=positive_int, default=1, help="steps of the first round, from a cold start")
    add_round_flags(parser, repeats=5)
    parser.set_defaults(**defaults)
    args = parser.parse_args()
    refuse_mode(args.mode, args.device)
    args.contenders = [name for name in CONTENDERS if name in {"step", *args.contenders}]  # ours first
    return args


if __name__ == "__main__":
    run(main)
