"""What each difference from the published solution is worth: our choice and the published one, all else equal.

As benchmarks/recipe.py, with rows that change functions of the code; each row has features of its own.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import runpy
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

import loaders
from benchmarks import recipe
from benchmarks.common import ROOT
from loaders import pcen, sampling
from loaders.clips import Clips
from models import cbam, initialization, mobilenetv3
from predicting import tta
from utils.errors import run


def start_from(state: Callable[[np.ndarray], np.ndarray]) -> Callable[[], None]:
    """PCEN's smoother starts from what a function makes of the first frames (128, n_mels)."""

    def change() -> None:
        pcen.BLOCK = 128
        pcen._start = lambda mel, b: (1 - b) * state(mel).astype(np.float64)[None]

    return change


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
    crops, settings = Clips.crops, pcen.AudioSettings()
    b = pcen._smoothing(settings)
    pcen._compress = lambda mel, smooth, settings: np.log(mel + 1e-7)

    def compressed(*args: Any) -> torch.Tensor:
        mel = crops(*args).exp()  # (B, 1, n_mels, T)
        time = torch.arange(mel.shape[3])
        weights = torch.where(time[:, None] >= time, b * (1 - b) ** (time[:, None] - time).clamp_min(0), 0)
        weights[:, 0] = (1 - b) ** time  # as if the first frame had always been
        gained = mel * (settings.eps + mel @ weights.T.to(mel)) ** -settings.gain
        return (gained + settings.bias) ** settings.power - settings.bias**settings.power

    Clips.crops = compressed


def one_crop_in_the_middle() -> None:
    """Clips of up to four frames more than a crop have one."""
    starts = tta.crop_starts
    tta.crop_starts = lambda length, width, count: starts(length, width, 1 if length - width <= 4 else count)


def slow_gate_norms() -> None:
    """A momentum of 0.01 in the norm of CBAM's spatial gate."""
    own = cbam.SpatialGate.__init__

    def build(gate: cbam.SpatialGate, *args: Any) -> None:
        own(gate, *args)
        gate.norm.momentum = 0.01

    cbam.SpatialGate.__init__ = build


def exact_squeeze_widths() -> None:
    """Squeeze and excitation of 18, 30, 30 channels in the first three blocks that have it."""
    mobilenetv3.mobilenetv3._make_divisible = lambda width, divisor, least=None: int(width)


def torchvision_mobilenet() -> None:
    """Start of the weights, eps and ReLU as before: those of the ResNets, torchvision's."""
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


CHANGES: dict[str, Callable[[], None]] = {
    "ours": lambda: None,
    "smoother from 1": start_from(lambda mel: np.ones(mel.shape[1])),
    "smoother from the mean of 0.1 s": start_from(lambda mel: mel[:10].mean(axis=0)),
    "smoother from the mean of 0.5 s": start_from(lambda mel: mel[:50].mean(axis=0)),
    "zeros at the ends": zeros_at_the_ends,
    "random folds": lambda: None,
    "last batch dropped": drop_the_last_batch,
    "PCEN on each crop": pcen_on_each_crop,
    "short clips in one crop": one_crop_in_the_middle,
    "gate norms' momentum 0.01": slow_gate_norms,
    "squeeze widths 18, 30, 30": exact_squeeze_widths,
    "torchvision's MobileNetV3": torchvision_mobilenet,
}
ROWS = dict.fromkeys(CHANGES, "") | {"random folds": "--fold_split random"}
SIZES = "--recipe improved --use_cbam --n_iter 800 --batch_size 32 --img_rows 32 --img_cols 96"


def main() -> int:
    if "--changed" not in sys.argv:
        recipe.main(ROWS, SIZES, changed)
        return 0
    row, features, name, *flags = sys.argv[sys.argv.index("--changed") + 1 :]
    CHANGES[row]()
    folders = loaders._folders
    loaders._folders = lambda config, dataset: (folders(config, dataset)[0], Path(features, dataset))
    if name == "train.py":
        dataset = flags[flags.index("--dataset") + 1]
        run_here("loaders/freesound_loader.py", "--dataset", dataset, "--jobs", "1", "--for_training", *flags)
    return run_here(name, *flags)


def changed(row: str, folder: Path) -> tuple[object, ...]:
    """A script after these words runs with a row's change to the code and with features of the row's own."""
    return "benchmarks/differences.py", "--changed", row, folder.parent / "features" / row


def run_here(name: str, *flags: str) -> int:
    """Run a script's main() in this process, whose functions were changed."""
    sys.argv = [name, *flags]
    return runpy.run_path(str(ROOT / name))["main"]() or 0


if __name__ == "__main__":
    run(main)
