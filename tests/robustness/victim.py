"""A small run in a folder of its own, whose stages are interrupted, and what they leave behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from predicting.checkpoint import load_checkpoint
from predicting.prediction_file import load_predictions
from utils.digests import tensors_digest

BEST = "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_0-2_model.pth"
FEATURES = "loaders/freesound_loader.py --dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1"
TRAINING = "--n_iter 9 --eval_freq 3 --save_freq 1 --use_mix_up --use_spec_aug --resume auto"
CONTENT = ("args", "class_names", "step", "best_score", "best_step", "log", "held_out", "made_from")  # beside tensors


class Victim:
    """Features, one fold's training, predictions and merging, each a command that can be killed and run again."""

    def __init__(self, folder: Path, script: Callable[..., Any], corpus: Path, tiny_flags: list[str]) -> None:
        """script: runs a script inside this process.  corpus: with features of its own, which are not used."""
        folder.mkdir(parents=True, exist_ok=True)
        entry = {"data_path": str(corpus), "features_path": "features"}
        (folder / "config.json").write_text(json.dumps({"tiny": entry}))
        self.folder, self.script = folder, script
        merging = "merge.py --dataset tiny --img_rows 32 --img_cols 64 --split val --allow_missing"
        self.stages = {
            "features": FEATURES.split(),
            "train": ["train.py", *tiny_flags, *TRAINING.split()],
            "test": f"test.py --model_path {BEST} --split val test --tta 2 --if_needed --no-use_cuda".split(),
            "merge": merging.split(),
        }

    def run(self, stage: str) -> Any:
        """What the stage does when it is left in peace."""
        return self.script(self.folder, *self.stages[stage])

    def files(self) -> list[Path]:
        """Names of all files but those of the journal of unfinished features, which has its own checks."""
        found = (Path(top) / name for top, _, names in os.walk(self.folder) for name in names)
        found = (path for path in found if ".part" not in path.name and path.suffix != ".lock")
        return sorted(path.relative_to(self.folder) for path in found)

    def torn(self, peace: "Victim") -> list[str]:
        """Files under their final names that are not whole, with the reason."""
        problems = []
        for name in self.files():
            try:
                whole = name.suffix == ".tmp" or is_whole(self.folder / name, peace.folder / name)
                problems += [] if whole else [str(name)]
            except Exception as error:  # whatever a reader cannot take is what we look for
                problems.append(f"{name}: {error}")
        return problems

    def differences(self, peace: "Victim") -> list[str]:
        """Files that are only here or there, or that are not the same: bit for bit, but for the pickle in .pth."""
        mine, theirs = set(self.files()), set(peace.files())
        odd = [name for name in mine & theirs if not same(self.folder / name, peace.folder / name)]
        return sorted(map(str, (mine ^ theirs) | set(odd)))


def same(path: Path, other: Path) -> bool:
    """Whether two files say the same; the bytes of a checkpoint's pickle depend on whether a run was resumed."""
    if path.suffix != ".pth":
        return path.read_bytes() == other.read_bytes()
    one, two = load_checkpoint(path), load_checkpoint(other)
    return tensors_digest(path) == tensors_digest(other) and all(one[key] == two[key] for key in CONTENT)


def is_whole(path: Path, other: Path) -> bool:
    """Whether a file can be read to its end; a table that was cut off can look like a whole one, so it is compared."""
    match path.suffix:
        case ".pth":
            return bool(load_checkpoint(path))
        case ".npz":
            return bool(load_predictions(path).fnames)
        case ".npy":
            return bool(np.isfinite(np.load(path, allow_pickle=False)).all())
        case ".jsonl":  # it ends at a validation, an earlier one perhaps than the undisturbed log
            text = path.read_text()
            return other.read_text().startswith(text) and text.endswith("\n" * bool(text))
        case ".json" if path.name != "config.json":  # open_clips checks it against the array that it names
            return bool(open_clips(path.parents[1], path.stem, AudioSettings(16000, 32), ""))
    return path.read_bytes() == other.read_bytes()
