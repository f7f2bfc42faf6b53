"""Speed: training steps, prediction and features, each in turn with what one would write first (benchmarks/plain.py).

Data are random, made in a temporary folder.  With --scale instead: start, memory and steps on 93 hours of features and
on multiples of them, as files of holes, which take no disk and read as zeros.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

import train
from benchmarks import plain
from benchmarks.common import Contender, Work, comparison, publish, serve, time_in_turn
from benchmarks.synthetic import FULL_SIZE, TRAIN_FLAGS, write_dataset, write_wavs
from loaders.clips import Clips
from loaders.pcen import AudioSettings
from models import ARCHS
from predicting.tta import SHARED, predict, prepare
from training.flags import build_parser
from training.graphs import Setup
from training.setup import Training, build_pool, build_training
from utils.cli import make_parser, positive_int
from utils.devices import DTYPES, autocast, pick_device, set_up_device
from utils.errors import MisuseError, run

MODES = ("eager", "recorded", "compiled")  # a network as it is; as CUDA graphs; by torch.compile, as graphs too
PLAIN_CLIPS = 2000  # at most; so few stay in memory, which favours the plain pipeline


def main() -> None:
    args = parse_args()
    if args.worker:
        serve(lambda: waited_for(args))
        return
    with TemporaryDirectory() as name, contextlib.chdir(name):
        if args.scale:
            measure_scale(args)
            return
        write_dataset(Path(), args.clips, AudioSettings(n_mels=args.img_rows))
        for part in args.parts:
            PARTS[part](args)


def measure_steps(args: argparse.Namespace) -> None:
    """train.py's step, everything on, against the bare network and the plain pipeline."""
    plain.write_clips(Path("plain"), build_pool(build_parser().parse_args(training_words(args))), PLAIN_CLIPS)
    compare("Training step", ("step", "bare", "plain"), args)


def measure_prediction(args: argparse.Namespace) -> None:
    """Crops batched across clips, against one clip at a time."""
    names = ("crops", "plain crops", "shared", "whole", "validation")
    compare("Prediction", names, args, args.predicted, f"{network(args)}, {args.tta} crops a clip")


def measure_features(args: argparse.Namespace) -> None:
    """The feature step on all cores, against one process that calls librosa in the obvious way."""
    seconds = write_wavs(Path("wavs"), args.wavs)
    compare("Features", ("features", "librosa"), args, args.wavs, f"{seconds / 3600:.2f} hours, 44.1 kHz")


def measure_scale(args: argparse.Namespace) -> None:
    """train.py's step on so many times as many clips."""
    contenders = [Contender("step", f"{n * args.clips:,} clips", Path(str(n))) for n in args.scale]
    for factor, contender in zip(args.scale, contenders, strict=True):
        write_dataset(contender.folder, factor * args.clips, AudioSettings(n_mels=args.img_rows), sparse=True)
    time_in_turn(contenders, args.repeats, args.steps, warm_up=1)
    facts = f"{network(args)}; n = {args.repeats} rounds of {args.steps} in turn"
    publish("Memory and growth", facts, comparison(contenders, "step", args.batch_size), args)


def compare(title: str, names: Iterable[str], args: argparse.Namespace, clips: int = 0, facts: str = "") -> None:
    """Time these and publish their table.  clips: of a round; 0: --steps training steps instead."""
    modes = {name: args.mode if name in ("step", "bare") else "eager" for name in names}
    contenders = [Contender(name, WORK[name][0], flags=("--mode", modes[name])) for name in names]
    time_in_turn(contenders, args.repeats, clips or args.steps, clips or args.warm_up)
    rows = comparison(contenders) if clips else comparison(contenders, "step", args.batch_size)
    facts = facts or f"{network(args)}, {args.mode}"
    publish(title, f"{facts}; n = {args.repeats} rounds of {clips or args.steps} in turn", rows, args)


def network(args: argparse.Namespace) -> str:
    return f"{args.arch}, {args.precision}, batch {args.batch_size}, crops {args.img_rows} x {args.img_cols}"


def training_words(args: argparse.Namespace) -> list[str]:
    """The flags of train.py for a benchmark's."""
    words = [f"--{name}={vars(args)[name]}" for name in ("arch", "batch_size", "img_rows", "img_cols")]
    words += ["--use_cbam"] if args.arch.startswith("resnet") else []
    words += [] if args.scale else ["--fold_split=random"]  # stratified folds need a package that may be missing
    return [*TRAIN_FLAGS, *words]


def build(args: argparse.Namespace, *more: object) -> Training:
    """A training of the random clips in this folder, built as train.py builds it.  more: further flags of train.py."""
    run_args = build_parser().parse_args([*training_words(args), *map(str, more)])
    modes = {"compiled": args.mode == "compiled", "graphs": args.mode != "eager"}
    setup = Setup(run_args, pick_device(args.device), DTYPES[args.precision], **modes)
    return build_training(setup, build_pool(run_args))


def waited_for(args: argparse.Namespace) -> Work:
    """A contender's work, then waiting for the device.  It returns the bytes that it holds without pages of files, or
    the most that it held on a GPU.
    """
    work = WORK[args.worker][1](args)

    def whole(amount: int) -> int:
        work(amount)
        if args.device == "cuda":
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        words = Path("/proc/self/status").read_text(encoding="utf-8").split()
        return 1024 * int(words[words.index("RssAnon:") + 1])

    return whole


def our_steps(args: argparse.Namespace) -> Work:
    set_up_device(pick_device(args.device))
    if args.scale:
        torch.set_flush_denormal(True)  # else slow: a network that sees nothing but zeros drives itself among them
    training, numbers = build(args), count()

    def work(steps: int) -> None:
        for _ in range(steps):
            train.train_step(training, next(numbers))

    return work


def bare_steps(args: argparse.Namespace) -> Work:
    """Forward, the sum of the logits as loss, backward and SGD on one batch: no step can be faster."""
    set_up_device(pick_device(args.device))
    training = build(args, "--l_rate", 0)  # which takes as long, and at any other the sum falls without end
    inputs = torch.rand(args.batch_size, 1, args.img_rows, args.img_cols, device=training.setup.device)

    def work(steps: int) -> None:
        for _ in range(steps):
            with autocast(training.setup.device, training.setup.precision):
                logits = training.network(inputs)
            logits.float().sum().backward()
            training.optimizer.step()
            training.optimizer.zero_grad(set_to_none=True)

    return work


def plain_steps(args: argparse.Namespace) -> Work:
    model, clips = plain_model(build(args)), plain.ClipFiles(Path("plain"), args.img_cols)
    return plain.trainer(model, clips, args.batch_size, pick_device(args.device))


def plain_model(training: Training) -> nn.Module:
    return plain.plainly(training.model.to(memory_format=torch.contiguous_format))


def our_predictions(args: argparse.Namespace, tta: int | str | None) -> Work:
    """As test.py does it, or with None validation; the network is prepared beforehand, as once for all clips."""
    set_up_device(pick_device(args.device), same_shapes=tta not in (0, SHARED))
    training = build(args)
    model = prepare(training.model, tta, args.img_rows, args.img_cols)
    sizes, how = (args.img_cols, args.batch_size), {"tta": tta, "precision": training.setup.precision}
    return lambda n: predict(model, some_clips(training, n), *sizes, training.setup.device, **how)


def plain_predictions(args: argparse.Namespace) -> Work:
    training = build(args)
    model, how = plain_model(training), (args.img_cols, args.tta, training.setup.device)
    return lambda n: plain.predict(model, plain.arrays(some_clips(training, n)), *how)


def some_clips(training: Training, n: int) -> Clips:
    return training.held_out.select(np.arange(n) % len(training.held_out))


def our_features(args: argparse.Namespace) -> Work:
    """The feature step over the first n wavs, each time into an empty folder."""
    from loaders.features import make_features  # its packages may be missing where there is a GPU
    from loaders.layouts import Subset

    fnames = sorted(path.name for path in Path("wavs").iterdir())

    def work(n: int) -> None:
        shutil.rmtree("ours", ignore_errors=True)
        wavs = Subset(Path("wavs"), fnames[:n])
        report = make_features(wavs, "test", Path("ours"), AudioSettings(), os.cpu_count())
        assert report.computed == n, report.unusable

    return work


WORK: dict[str, tuple[str, Callable[[argparse.Namespace], Work]]] = {  # contender -> its title, and what it does
    "step": ("train.py's step", our_steps),
    "bare": ("bare network", bare_steps),
    "plain": ("plain pipeline, fp32", plain_steps),
    "crops": ("test.py, several crops a clip", lambda args: our_predictions(args, args.tta)),
    "plain crops": ("plain, the same crops, one clip at a time, fp32", plain_predictions),
    "shared": ("test.py --tta shared: the same crops in one pass", partial(our_predictions, tta=SHARED)),
    "whole": ("test.py --tta 0: whole clips", partial(our_predictions, tta=0)),
    "validation": ("validation: crops half a crop apart", partial(our_predictions, tta=None)),
    "features": (f"loaders/features.py, {os.cpu_count()} processes", our_features),
    "librosa": ("librosa, one process", lambda args: plain.features),
}
PARTS = {"step": measure_steps, "predict": measure_prediction, "features": measure_features}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Those that gpu.py has too."""
    what = parser.add_argument_group("what")
    what.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    what.add_argument("--batch_size", type=positive_int, default=32, help="clips of a step, crops of a prediction")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--clips", type=positive_int, default=1000, help="of the random data set")
    what.add_argument("--tta", type=positive_int, default=8, help="crops per clip in prediction")
    rounds = parser.add_argument_group("rounds")
    rounds.add_argument("--steps", type=positive_int, default=2, help="of a round")
    rounds.add_argument("--predicted", type=positive_int, default=8, help="clips of a round")
    rounds.add_argument("--repeats", type=positive_int, default=5, help="rounds of each contender, in turn")
    rounds.add_argument("--warm_up", type=positive_int, default=4, help="steps of the first round, from a cold start")
    parser.add_argument("--mode", default="eager", choices=MODES, help="as it is, as CUDA graphs (on a GPU), compiled")
    parser.add_argument("--output", type=Path, help="file to append the tables to")
    parser.add_argument("--worker", help=argparse.SUPPRESS)


def refuse_recorded(modes: list[str], device: str) -> None:
    """Raises MisuseError where CUDA graphs are asked of a CPU."""
    if "recorded" in modes and device == "cpu":
        raise MisuseError("recorded: CUDA graphs are for GPUs; add --device cuda, or choose another mode")


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/speed.py --parts step --batch_size 128 --output results.md")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="what to measure")
    parser.add_argument("--scale", nargs="+", type=positive_int, help="instead: so many times --clips, as in 1 4 16")
    add_flags(parser)
    parser.add_argument("--wavs", type=positive_int, default=250, help="sounds of a round of features")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what is measured")
    parser.add_argument("--precision", default="fp32", choices=DTYPES, help="of ours and of the bare network")
    if "--scale" in sys.argv:
        parser.set_defaults(clips=FULL_SIZE)
    args = parser.parse_args()
    refuse_recorded([args.mode], args.device)
    args.output = args.output and args.output.resolve()
    return args


if __name__ == "__main__":
    run(main)
