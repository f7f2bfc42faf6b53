"""Choices of the published solution, and others, in place of ours: what the code has -> what a copy of it gets."""

import shutil
from functools import partial
from pathlib import Path

from benchmarks.common import ROOT

CODE = ["train.py", "test.py", "loaders", "losses", "models", "predicting", "training", "utils"]
FIRST, PCEN, NET = "(1 - b) * mel[:1].astype(np.float64)", "loaders/pcen.py", "models/mobilenetv3.py"
MAKE = "net = make(weights=None"
COMPRESS = "return np.exp(settings.power * np.log(gained + settings.bias)) - settings.bias**settings.power"
CROP = "return inputs.to(torch.float32, memory_format=torch.contiguous_format)"
CROP_WITH_PCEN = """from loaders.pcen import _smoothing

        mel, settings = inputs.float().contiguous().exp(), AudioSettings()
        b, time = _smoothing(settings), torch.arange(width)
        weights = torch.where(time[:, None] >= time, b * (1 - b) ** (time[:, None] - time).clamp_min(0), 0)
        weights[:, 0] = (1 - b) ** time  # as if the first frame had always been
        gained = mel * (settings.eps + mel @ weights.T.to(mel)) ** -settings.gain
        return (gained + settings.bias) ** settings.power - settings.bias**settings.power"""
Change = list[tuple[str, str, str]]  # file, text that it has once, text in its place
CHANGES: dict[str, Change] = {
    "smoother from 1": [(PCEN, FIRST, "(1 - b) * np.ones((1, mel.shape[1]))")],
    "smoother from the mean of 0.1 s": [(PCEN, FIRST, "(1 - b) * mel[:10].mean(0, np.float64, keepdims=True)")],
    "smoother from the mean of 0.5 s": [(PCEN, FIRST, "(1 - b) * mel[:50].mean(0, np.float64, keepdims=True)")],
    "zeros at the ends": [
        (
            PCEN,
            "in _reflected(blocks, n_fft // 2)",
            "in (ends := [np.zeros(n_fft // 2, np.float32)]) + [*blocks] + ends",
        )
    ],
    "PCEN on each crop": [(PCEN, COMPRESS, "return np.log(mel + 1e-7)"), ("loaders/clips.py", CROP, CROP_WITH_PCEN)],
    "last batch dropped": [
        (
            "loaders/sampling.py",
            "np.divmod(positions, n)",
            "np.divmod(positions, n // self.batch_size * self.batch_size)",
        )
    ],
    "gate norms' momentum 0.01": [("models/cbam.py", "nn.BatchNorm2d(1)", "nn.BatchNorm2d(1, momentum=0.01)")],
    "squeeze widths 18, 30, 30": [
        (NET, MAKE, f"mobilenetv3._make_divisible = lambda width, divisor, least=None: int(width)\n    {MAKE}")
    ],
    "torchvision's MobileNetV3": [
        (NET, "eps=1e-5", "eps=0.001"),
        (NET, "nn.ReLU6(", "nn.ReLU("),
        ("models/initialization.py", "        start_as_published(model)", "        pass"),
    ],
}


def changed_copy(change: str, root: Path) -> Path:
    """The scripts and their rooms in a folder, with the change."""
    part = root.with_suffix(".part")
    if root.exists():
        return root
    for name in [*CODE, "recipes"]:
        part.mkdir(parents=True, exist_ok=True)
        copy = partial(shutil.copytree, dirs_exist_ok=True) if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, part / name)
    for file, old, new in CHANGES[change]:
        text = (part / file).read_text(encoding="utf-8")
        (part / file).write_text(text.replace(old, new), encoding="utf-8")
    return part.rename(root)
