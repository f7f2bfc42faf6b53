"""Prediction: eight crops a clip and five folds, batched across clips, against one clip at a time.

Networks and features are random; neither side reads a file.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks import plain
from benchmarks.common import publish
from benchmarks.contenders import wait_for
from benchmarks.rounds import Contender, add_round_flags, comparison, serve, timed_rounds
from benchmarks.synthetic import CLASSES, SHORTEST, curated_seconds
from loaders.clips import Clips
from loaders.pcen import AudioSettings
from models import ARCHS, get_model
from predicting.tta import SHARED, predict, prepare
from utils.cli import make_parser, positive_int
from utils.devices import DTYPES, pick_device, set_up_device
from utils.errors import run

GOALS = {"cpu": "at least 2, aim at 3"}


def main() -> None:
    args = parse_args()
    if args.worker:
        work = {"ours": our_predictions, "plain": plain_predictions, "whole": whole_clips, "shared": shared_crops}
        serve(lambda: work[args.worker](args))
        return
    entrants = [
        Contender("ours", "predicting/tta.py", amount=args.clips),
        Contender("plain", "one clip at a time, fp32", GOALS.get(args.device, ""), amount=args.clips),
        Contender("shared", "predicting/tta.py, all crops in one pass (--tta shared)", amount=args.clips),
        Contender("whole", "predicting/tta.py, whole clips (--tta 0)", amount=args.clips),
    ]
    timings = timed_rounds(entrants, args.repeats, warm_up=args.clips)
    rows = comparison(entrants, timings)
    facts = f"{args.arch}, {args.folds} folds, {args.tta} crops of 128 x {args.img_cols} a clip, batch "
    facts += f"{args.batch_size}, {args.precision}; n = {args.repeats} rounds over {args.clips} clips in turn"
    publish("Prediction", facts, rows, ["A clip counts once, not once a fold."], args)


def our_predictions(args: argparse.Namespace) -> Callable[[int], None]:
    """As test.py does it, fold after fold; networks are prepared beforehand, as it does once for all its clips."""
    device, settings = pick_device(args.device), AudioSettings()
    precision = DTYPES[args.precision]
    set_up_device(device, same_shapes=args.tta not in (0, SHARED))
    models = [
        prepare(model.to(device, memory_format=torch.channels_last), args.tta, settings.n_mels, args.img_cols)
        for model in networks(args)
    ]
    clips = random_clips(args.clips).to(device)

    def work(n: int) -> None:
        few = clips.select(np.arange(n))
        for model in models:
            predict(
                model, few, args.img_cols, args.batch_size, device,
                tta=args.tta, precision=precision,
            )  # fmt: skip
        wait_for(device)

    return work


def whole_clips(args: argparse.Namespace) -> Callable[[int], None]:
    """As test.py --tta 0 does it: each clip in one pass, which is another function with other scores."""
    return our_predictions(argparse.Namespace(**vars(args) | {"tta": 0}))


def shared_crops(args: argparse.Namespace) -> Callable[[int], None]:
    """As test.py --tta shared does it."""
    return our_predictions(argparse.Namespace(**vars(args) | {"tta": SHARED}))


def plain_predictions(args: argparse.Namespace) -> Callable[[int], None]:
    """As plain.py does it, fold after fold."""
    device = pick_device(args.device)
    models, clips = [plain.plainly(model) for model in networks(args)], clip_arrays(random_clips(args.clips))

    def work(n: int) -> None:
        for model in models:
            plain.predict(model, clips[:n], args.img_cols, args.tta, device)
        wait_for(device)

    return work


def networks(args: argparse.Namespace) -> list[nn.Module]:
    """A network with random weights for each fold."""
    torch.manual_seed(0)
    return [get_model(args.arch, len(CLASSES), use_cbam=args.arch.startswith("resnet")) for _ in range(args.folds)]


def random_clips(n: int, seed: int = 0) -> Clips:
    """Clips in memory with lengths like those of the curated ones."""
    rng = np.random.default_rng(seed)
    lengths = 1 + (100 * np.maximum(curated_seconds(rng, n), SHORTEST)).astype(int)  # frames of 10 ms
    starts = np.cumsum([0, *lengths])
    rows = torch.from_numpy(rng.random((starts[-1], AudioSettings().n_mels), np.float32)).half()
    return Clips(
        [f"{number}.wav" for number in range(n)], (rows,), np.zeros(n, int), starts[:-1], lengths, np.full(n, "")
    )


def clip_arrays(clips: Clips) -> list[np.ndarray]:
    """The same clips one by one, (n_mels, frames) float32."""
    rows = clips.packs[0].numpy()
    return [
        np.ascontiguousarray(rows[start : start + length].T.astype(np.float32))
        for start, length in zip(clips.starts, clips.lengths, strict=True)
    ]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/predict.py --clips 10 --output results.md")
    parser.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    parser.add_argument("--clips", type=positive_int, default=24, help="to predict")
    parser.add_argument("--folds", type=positive_int, default=5, help="networks that predict every clip")
    parser.add_argument("--tta", type=positive_int, default=8, help="crops per clip")
    parser.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    parser.add_argument("--batch_size", type=positive_int, default=32, help="crops per forward pass of ours")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what is measured")
    parser.add_argument("--precision", default="fp32", choices=DTYPES, help="of ours")
    add_round_flags(parser, repeats=3)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
