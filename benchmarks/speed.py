"""Speed: training steps, prediction and features, each in turn with what one would write first (benchmarks/plain.py).

Data are random, in a temporary folder.  With --scale: train.py's step on multiples of the clips, as files of holes,
which take no disk and read as zeros.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import contextlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.util import Finalize
from tempfile import TemporaryDirectory

import numpy as np
import torch

import train
from benchmarks import plain
from benchmarks.common import Contender, Work, comparison, publish, time_in_turn
from benchmarks.synthetic import NAME, write_dataset, write_wavs
from loaders.clips import Clips
from loaders.pcen import AudioSettings
from models import ARCHS
from predicting.tta import SHARED, predict, prepare
from training.flags import build_parser
from training.graphs import Setup
from training.setup import Training, build_pool, build_training
from utils import devices
from utils.cli import make_parser, positive_int
from utils.errors import MisuseError, UserError, run

MODES = ("eager", "recorded", "compiled")  # a network as it is; as CUDA graphs; by torch.compile, as graphs too
PARTS = ("step", "predict", "features")
TTA = 8  # crops of a clip in prediction
Works = dict[str, Callable[[argparse.Namespace], Work]]  # title of a row -> what makes its work
PLAIN_CLIPS = 500  # at most: those of the plain pipeline stay in memory, which favours it


def main() -> None:
    args = parse_args(__doc__, "python benchmarks/speed.py --parts step --batch_size 128 --output results.md")
    with TemporaryDirectory() as name, contextlib.chdir(name):
        os.environ["TMPDIR"] = name  # of the contenders, whose workers leave folders behind
        if args.scale:
            for n in args.scale:
                write_dataset(Path(str(n)), n * args.clips, sparse=True)
            works = {f"{n * args.clips:,} clips": partial(our_steps, folder=str(n)) for n in args.scale}
            measure("Memory and growth", works, args, args.steps, "step")
            return
        write_dataset(Path(), args.clips)
        theirs = {"plain, the same crops, one clip at a time, fp32": plain_predictions}
        measure_all(args, STEPS | {"plain pipeline, fp32": plain_steps}, PREDICTIONS | theirs)


def measure_all(args: argparse.Namespace, steps: Works, predictions: Works) -> None:
    """The parts asked for, in this folder; a mode that a GPU cannot take is said and left out."""
    for mode in args.modes if "step" in args.parts else []:
        args.mode = mode
        try:
            measure("Training step", steps, args, args.steps, "step")
        except UserError as error:
            if args.device == "cpu":
                raise
            publish("Training step", args.mode, [{"not measured": str(error)}], args)
    if "predict" in args.parts:
        measure("Prediction", predictions, args, args.predicted, "clip")
    if "features" in args.parts:
        hours = write_wavs(Path("wavs"), args.wavs) / 3600
        works = {f"loaders/features.py, {os.cpu_count()} processes": our_features, "librosa, one process": librosa}
        measure("Features", works, args, args.wavs, "clip", f"{hours:.2f} hours, 44.1 kHz")


def measure(title: str, works: Works, args: argparse.Namespace, amount: int, unit: str, facts: str = "") -> None:
    """Time contenders in turn and publish their table.  amount: of a round, in steps or clips."""
    contenders = [Contender(name, measured, (build_work, args)) for name, build_work in works.items()]
    time_in_turn(contenders, args.repeats, amount)
    sizes, how = train_args(args), args.mode if unit == "step" else f"{TTA} crops a clip"
    network = f"{args.arch}, {args.precision}, batch {args.batch_size}, crops {sizes.img_rows} x {sizes.img_cols}"
    rows = comparison(contenders, unit, args.batch_size if unit == "step" else 1)
    publish(title, f"{facts or f'{network}, {how}'}; n = {args.repeats} rounds of {amount} in turn", rows, args)


def train_words(args: argparse.Namespace) -> list[str]:
    """Flags of train.py for a benchmark's."""
    words = f"--dataset {NAME} --num_folds 5 --use_mix_up --use_spec_aug --arch {args.arch}".split()
    words += ["--use_cbam"] if args.arch.startswith("resnet") else []
    words += [] if args.scale else ["--fold_split=random"]  # stratified folds need a package that may be missing
    return [*words, f"--batch_size={args.batch_size}"]


def train_args(args: argparse.Namespace, *more: object) -> argparse.Namespace:
    return build_parser().parse_args([*train_words(args), *map(str, more)])


def build(args: argparse.Namespace, *more: object) -> Training:
    """A training of the random clips in this folder, built as train.py builds it.  more: further flags of train.py."""
    run_args, device = train_args(args, *more), devices.pick_device(args.device)
    how = {"compiled": args.mode == "compiled", "graphs": args.mode != "eager"}
    return build_training(Setup(run_args, device, devices.DTYPES[args.precision], **how), build_pool(run_args))


def measured(build_work: Callable[[argparse.Namespace], Work], args: argparse.Namespace) -> Work:
    """Work that returns the bytes that its process holds, files left out; on a GPU the most that it held."""
    work = build_work(args)
    return lambda amount: (work(amount), memory(args.device))[1]


def memory(device: str) -> int:
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    words = Path("/proc/self/status").read_text(encoding="utf-8").split()
    return 1024 * int(words[words.index("RssAnon:") + 1])


def our_steps(args: argparse.Namespace, folder: str = ".") -> Work:
    os.chdir(folder)
    devices.set_up_device(devices.pick_device(args.device))
    torch.set_flush_denormal(bool(args.scale))  # inputs of zeros lead to denormals, which are slow
    training, numbers = build(args), count()
    return lambda steps: [train.train_step(training, next(numbers)) for _ in range(steps)]


def bare_steps(args: argparse.Namespace) -> Work:
    """Forward, the sum of the logits as loss, backward and SGD on one batch: no step can be faster."""
    devices.set_up_device(devices.pick_device(args.device))
    training = build(args, "--l_rate", 0)  # which takes as long, and at any other the sum falls without end
    inputs = torch.rand_like(training.batches(0)[0], memory_format=torch.contiguous_format)

    def step() -> None:
        with devices.autocast(training.setup.device, training.setup.precision):
            logits = training.network(inputs)
        logits.float().sum().backward()
        training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)

    return lambda steps: [step() for _ in range(steps)]


def plain_steps(args: argparse.Namespace) -> Work:
    args.mode = "eager"
    training, pool = build(args), build_pool(train_args(args))
    clips = list(plain.arrays(pool.clips.select(np.arange(min(PLAIN_CLIPS, len(pool.clips))))))
    crops = plain.Crops(clips, pool.targets, training.setup.args.img_cols)
    return plain.trainer(training.model, crops, args.batch_size, training.setup.device)


def our_predictions(args: argparse.Namespace, tta: int | str | None) -> Work:
    """As test.py does it, or with None validation; the network is prepared beforehand, as once for all clips."""
    devices.set_up_device(devices.pick_device(args.device), same_shapes=tta not in (0, SHARED))
    training = build(args)
    setup, sizes = training.setup, training.setup.args
    model = prepare(training.model, tta, sizes.img_rows, sizes.img_cols)
    how = sizes.img_cols, sizes.batch_size, setup.device, tta, setup.precision
    return lambda n: predict(model, some_clips(training, n), *how)


def plain_predictions(args: argparse.Namespace) -> Work:
    training = build(args)
    how = training.setup.args.img_cols, TTA, training.setup.device
    return lambda n: plain.predict(training.model, plain.arrays(some_clips(training, n)), *how)


def some_clips(training: Training, n: int) -> Clips:
    return training.held_out.select(np.arange(n) % len(training.held_out))


def our_features(args: argparse.Namespace) -> Work:
    """The feature step, each time into an empty folder."""
    from joblib.externals.loky import get_reusable_executor

    from loaders.features import make_features  # its packages may be missing where there is a GPU
    from loaders.layouts import Subset

    def end() -> None:  # else idle workers would live on for minutes
        get_reusable_executor(os.cpu_count(), reuse=True).shutdown(kill_workers=True)

    def work(n: int) -> None:
        shutil.rmtree("ours", ignore_errors=True)
        report = make_features(wavs, "test", Path("ours"), AudioSettings(), os.cpu_count())
        assert report.computed == n, report.unusable

    Finalize(None, end, exitpriority=0)
    wavs = Subset(Path("wavs"), sorted(path.name for path in Path("wavs").iterdir()))
    return work


def librosa(args: argparse.Namespace) -> Work:
    return plain.features


STEPS: Works = {"train.py's step": our_steps, "bare network": bare_steps}
PREDICTIONS: Works = {
    "test.py, several crops a clip": partial(our_predictions, tta=TTA),
    "test.py --tta shared: the same crops in one pass": partial(our_predictions, tta=SHARED),
    "test.py --tta 0: whole clips": partial(our_predictions, tta=0),
    "validation: crops half a crop apart": partial(our_predictions, tta=None),
}


def parse_args(doc: str | None, example: str, **defaults: object) -> argparse.Namespace:
    """Of speed.py, and of gpu.py with other defaults; --precision auto becomes a precision."""
    parser = make_parser(doc, example)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure")
    parser.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    parser.add_argument("--batch_size", type=positive_int, default=32, help="clips of a step, crops of a prediction")
    parser.add_argument("--clips", type=positive_int, default=1000, help="of the random data set")
    parser.add_argument("--steps", type=positive_int, default=2, help="of a round")
    parser.add_argument("--predicted", type=positive_int, default=8, help="clips of a round of prediction")
    parser.add_argument("--wavs", type=positive_int, default=250, help="sounds of a round of features")
    parser.add_argument("--repeats", type=positive_int, default=5, help="rounds of each, after one from a cold start")
    parser.add_argument("--scale", nargs="+", type=positive_int, help="instead: so many times --clips, as in 1 4 16")
    parser.add_argument("--modes", nargs="+", default=MODES[:1], choices=MODES, help="recorded: as CUDA graphs")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what is measured")
    parser.add_argument("--precision", default="fp32", choices=devices.PRECISIONS, help=devices.PRECISION_HELP)
    parser.add_argument("--output", type=os.path.abspath, help="file to append the tables to")
    parser.set_defaults(mode=MODES[0], **defaults)
    args = parser.parse_args()
    if "recorded" in args.modes and args.device == "cpu":
        raise MisuseError("recorded: CUDA graphs are for GPUs; add --device cuda, or choose another mode")
    precision = devices.pick_precision(args.precision, devices.pick_device(args.device), args.arch)
    args.precision = devices.precision_name(precision)
    return args


if __name__ == "__main__":
    run(main)
