"""What each difference from the published solution is worth: our choice and the published one, all else equal.

Every variant is trained on fold 0 with every seed by train.py, and its last weights score the test clips by test.py.
Finished runs stand in --folder, a line each, and are not repeated; a run that was stopped goes on.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import contextlib
import json
import re
import runpy
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import mean
from typing import Any

import numpy as np
import torch

from benchmarks.common import Row, markdown
from loaders import get_data_path, pcen, sampling, store
from loaders.layouts import read_corpus
from predicting.metrics import lwlrap
from predicting.prediction_file import load_predictions
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import run

ROOT = Path(__file__).resolve().parents[1]
SIZE = "--n_iter 800 --batch_size 32 --img_rows 32 --img_cols 96"


def start_from(state: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """PCEN's smoother starts from what a function makes of the first frames (128, n_mels)."""

    def patch() -> None:
        pcen.BLOCK = 128
        own = pcen._block

        def block(frames: np.ndarray, before: np.ndarray | None, settings: pcen.AudioSettings, buffers: pcen.Buffers):
            if before is None:
                first = state(pcen._mel(frames, settings, buffers)).astype(np.float64)
                before = (1 - pcen._smoothing(settings)) * first[None]
            return own(frames, before, settings, buffers)

        pcen._block = block

    return patch


def zeros_at_the_ends() -> None:
    pcen._reflected = lambda blocks, half: chain([np.zeros(half, np.float32)], blocks, [np.zeros(half, np.float32)])


def drop_the_last_batch() -> None:
    """An epoch ends with its last whole batch."""
    positions = sampling.Sampler._positions

    def whole_batches(sampler: sampling.Sampler, places: np.ndarray, stream: int, n: int) -> np.ndarray:
        kept = n // sampler.batch_size * sampler.batch_size
        epochs, places = np.divmod(places, kept)
        return positions(sampler, epochs * n + places, stream, n)

    sampling.Sampler._positions = whole_batches


def pcen_on_each_crop() -> None:
    """Features are logarithms of magnitudes; each crop's smoother starts with the crop's own first frame."""
    from loaders import freesound_loader

    as_inputs, settings = store.as_inputs, pcen.AudioSettings()
    b = pcen._smoothing(settings)
    pcen._compress = lambda mel, smooth, settings: np.log(mel + 1e-7)

    def compressed(gathered: torch.Tensor, device: torch.device) -> torch.Tensor:
        mel = as_inputs(gathered, device).exp()  # (B, 1, n_mels, T)
        time = torch.arange(mel.shape[3])
        weights = torch.where(time[:, None] >= time, b * (1 - b) ** (time[:, None] - time).clamp_min(0), 0)
        weights[:, 0] = (1 - b) ** time  # as if the first frame had always been
        smooth = mel @ weights.T.to(mel)
        gained = mel * (settings.eps + smooth) ** -settings.gain
        return (gained + settings.bias) ** settings.power - settings.bias**settings.power

    store.as_inputs = freesound_loader.as_inputs = compressed


def one_crop_in_the_middle() -> None:
    """Clips of up to four frames more than a crop have one."""
    from predicting import tta

    starts = tta.crop_starts
    tta.crop_starts = lambda length, width, count: starts(length, width, 1 if length - width <= 4 else count)


def slow_gate_norms() -> None:
    """A momentum of 0.01 in the norm of CBAM's spatial gate."""
    from models import cbam

    own = cbam.SpatialGate.__init__

    def build(gate: cbam.SpatialGate, kernel_size: int = 7) -> None:
        own(gate, kernel_size)
        gate.norm.momentum = 0.01

    cbam.SpatialGate.__init__ = build


def exact_squeeze_widths() -> None:
    """Squeeze and excitation of 18, 30, 30 channels in the first three blocks that have it."""
    from torchvision.models import mobilenetv3

    mobilenetv3._make_divisible = lambda width, divisor, least=None: int(width)


def torchvision_mobilenet() -> None:
    """Start of the weights, eps and ReLU as before: those of the ResNets, torchvision's."""
    from torch import nn

    from models import initialization, mobilenetv3

    initialization.start_as_published = lambda net: None
    adapt = mobilenetv3._adapt

    def plain(*args: Any) -> nn.Module:
        net = adapt(*args)
        for name, module in list(net.named_modules()):
            if isinstance(module, nn.ReLU6):
                net.set_submodule(name, nn.ReLU(inplace=True))
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.001
        return net

    mobilenetv3._adapt = plain


VARIANTS: dict[str, tuple[str, Callable[[], None] | None]] = {  # flags of train.py, and what is changed in the code
    "ours": ("", None),
    "smoother from 1": ("", start_from(lambda mel: np.ones(mel.shape[1]))),
    "smoother from the mean of 0.1 s": ("", start_from(lambda mel: mel[:10].mean(axis=0))),
    "smoother from the mean of 0.5 s": ("", start_from(lambda mel: mel[:50].mean(axis=0))),
    "zeros at the ends": ("", zeros_at_the_ends),
    "random folds": ("--fold_split random", None),
    "last batch dropped": ("", drop_the_last_batch),
    "PCEN on each crop": ("", pcen_on_each_crop),
    "short clips in one crop": ("", one_crop_in_the_middle),
    "gate norms' momentum 0.01": ("", slow_gate_norms),
    "squeeze widths 18, 30, 30": ("", exact_squeeze_widths),
    "torchvision's MobileNetV3": ("", torchvision_mobilenet),
}


def main() -> int:
    args = parse_args()
    if args.worker:
        name, _, seed = args.worker.rpartition(" ")
        print(json.dumps(work(args, name, int(seed))))
        return 0
    results = args.folder / "results.jsonl"
    args.folder.mkdir(parents=True, exist_ok=True)
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    done = {(row["how"], row["variant"], row["seed"]): row for row in map(json.loads, lines)}

    def finish(job: tuple[str, int]) -> None:
        if (args.flags, *job) not in done:
            row = {"how": args.flags, "variant": job[0], "seed": job[1]} | in_a_process(job)
            done[args.flags, *job] = row
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{job[0]}, seed {job[1]}: {row['test']:.4f}, held out {row['held out']:.4f}", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(finish, [(name, seed) for name in args.variants for seed in args.seeds]))
    rows: list[Row] = []
    for name in args.variants:
        each = [done[args.flags, name, seed] for seed in args.seeds]
        tests = [row["test"] for row in each]
        told = f"{mean(tests):.4f} ({', '.join(f'{score:.4f}' for score in tests)})"
        held_out = f"{mean(row['held out'] for row in each):.4f}"
        rows.append({"variant": name, "lwlrap, test (each seed)": told, "held out": held_out})
    print(markdown(rows))
    return 0


def in_a_process(job: tuple[str, int]) -> dict[str, float]:
    """A run's scores.  In a process of its own, since a variant changes functions of the code."""
    words = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--worker", f"{job[0]} {job[1]}"]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def work(args: argparse.Namespace, name: str, seed: int) -> dict[str, float]:
    """Features, training and prediction of one variant with one seed."""
    flags, patch = VARIANTS[name]
    data = get_data_path(args.dataset).resolve()
    folder = args.folder.resolve() / args.tag / re.sub(r"\W+", "_", name)
    (folder / str(seed)).mkdir(parents=True, exist_ok=True)
    config = {args.dataset: {"data_path": str(data), "features_path": str(folder / "features")}}
    (folder / str(seed) / "config.json").write_text(json.dumps(config))
    with contextlib.chdir(folder / str(seed)), contextlib.redirect_stdout(sys.stderr):
        if patch:
            patch()
        rows = args.flags.split("--img_rows ")[1].split()[0]
        call("loaders/freesound_loader.py", "--dataset", args.dataset, "--img_rows", rows, "--jobs", "1")
        call("train.py", "--dataset", args.dataset, *shlex.split(args.flags), *shlex.split(flags), "--seed", seed,
             "--num_folds", 5, "--eval_freq", 0, "--save_freq", 200, "--resume", "auto")  # fmt: skip
        [last] = Path("checkpoints").glob("*_last_*.pth")
        call("test.py", "--model_path", last, "--split", "test")
        [path] = Path("predictions").glob("*_test_*.npz")
        [log] = Path("checkpoints").glob("*_log.jsonl")
        held_out = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["lwlrap"]
        predictions, corpus = load_predictions(path), read_corpus(data)
        scores = predictions.aligned(predictions.fnames, corpus.class_names)
        return {"test": lwlrap(corpus.subset("test").truth_of(predictions.fnames), scores), "held out": held_out}


def call(script: str, *flags: object) -> None:
    """Run a script's main() in this process, whose functions a variant has changed."""
    sys.argv = [script, *map(str, flags)]
    main = runpy.run_path(str(ROOT / script))["main"]
    if code := main():
        sys.exit(code)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/differences.py --dataset A --folder /tmp/differences --jobs 2")
    parser.add_argument("--dataset", default="freesound", help="a name in config.json, with answers to its test clips")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="which")
    parser.add_argument("--flags", default=f"--recipe improved --use_cbam {SIZE}", help="of train.py, for all variants")
    parser.add_argument("--seeds", nargs="+", type=natural_int, default=[1, 2], help="of train.py")
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at a time")
    parser.add_argument("--folder", type=Path, required=True, help="where runs and results are kept")
    parser.add_argument("--tag", default="short", help="part of folders' names, another for other --flags")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
