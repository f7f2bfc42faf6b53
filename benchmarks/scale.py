"""Memory and growth: a few real steps of train.py on 93 hours of features, then on 4 and 16 times as many.

The features are files that consist of holes: they take no disk and read as zeros.  The network is a small one, so
that what grows with the data shows.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
from collections.abc import Callable
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.common import Row, publish
from benchmarks.rounds import Contender, Timing, add_round_flags, ratio, serve, timed_rounds
from benchmarks.synthetic import FULL_SIZE, write_dataset
from loaders.pcen import AudioSettings
from models import ARCHS
from utils.cli import make_parser, positive_int
from utils.errors import run


def main() -> None:
    args = parse_args()
    if args.worker:
        serve(lambda: real_step(args))
        return
    with TemporaryDirectory() as name:
        entrants = [
            Contender("step", f"{factor}x", amount=args.steps, folder=Path(name, str(factor)))
            for factor in args.factors
        ]
        for factor, entrant in zip(args.factors, entrants, strict=True):
            write_dataset(entrant.folder, factor * args.clips, AudioSettings(), sparse=True)
        timings = timed_rounds(entrants, args.repeats, warm_up=1)
    facts = f"{args.arch}, crops 128 x {args.img_cols}, batch {args.batch_sizes[0]}; "
    facts += f"n = {args.repeats} rounds of {args.steps} steps in turn"
    notes = [
        "Goals: own memory of 1x under 3 GB and its start under 30 s; steps flat within 5 %; start-up linear, that is, "
        "further clips cost the same at any size.  Own memory is RssAnon, the most seen at any look (ten a second); "
        "pages of the feature files, which the kernel takes back when it needs them, are counted apart."
    ]
    publish("Memory and growth", facts, growth(args, timings), notes, args)


def real_step(args: argparse.Namespace) -> Callable[[int], None]:
    """contenders.real_step, whose imports are part of the start that is measured."""
    import torch

    from benchmarks import contenders

    torch.set_flush_denormal(True)  # else slow: a network that sees nothing but zeros drives itself among them
    return contenders.real_step(args, fold_split="stratified")


def growth(args: argparse.Namespace, timings: list[Timing]) -> list[Row]:
    """A line per size: each compares with the first, and its start-up with the size before."""
    rows, smaller = [], None
    for factor, timing in zip(args.factors, timings, strict=True):
        slower, low, high = ratio(timings[0], timing)
        further = "" if smaller is None else 10_000 * (timing.cold - smaller[1]) / ((factor - smaller[0]) * args.clips)
        rows.append(
            {
                "size": f"{factor}x",
                "clips": f"{factor * args.clips:,}",
                "start to first step, s": f"{timing.cold:.1f}",
                "s per 10,000 further clips": further and f"{further:.2f}",
                "own memory, MB": f"{timing.own_memory / 1e6:.0f}",
                "file pages, MB": f"{timing.file_memory / 1e6:.0f}",
                "ms a step, median": f"{1000 * median(timing.rounds):.0f}",
                "as many times as 1x": f"{slower:.3f} ({low:.2f}..{high:.2f})",
            }
        )
        smaller = factor, timing.cold
    return rows


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/scale.py --factors 1 4 --output results.md")
    parser.add_argument("--clips", type=positive_int, default=FULL_SIZE, help="at size 1x")
    parser.add_argument("--factors", nargs="+", type=positive_int, default=[1, 4, 16], help="sizes, smallest first")
    parser.add_argument("--arch", default="mobilenet_v3_small", choices=list(ARCHS), help="which network")
    parser.add_argument("--batch_sizes", nargs=1, type=positive_int, default=[32], help="clips of a step")
    parser.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    parser.add_argument("--steps", type=positive_int, default=10, help="of a round")
    add_round_flags(parser, repeats=7)
    parser.set_defaults(img_rows=128, device="cpu", precision="fp32", mode="eager")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
