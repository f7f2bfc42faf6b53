"""What the loop left in a sandbox: is any file torn, and is it the same as what another sandbox holds?"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from predicting.checkpoint import load_checkpoint
from predicting.prediction_file import load_predictions
from tests.robustness.sandbox import FLAGS, Sandbox

SETTINGS = AudioSettings(*(int(FLAGS[FLAGS.index(flag) + 1]) for flag in ("--sampling_rate", "--img_rows")))


def outputs(box: Sandbox) -> list[Path]:
    """Files under their final names; not the journal of an unfinished feature run."""
    paths = [path for folder in folders(box) for path in sorted(folder.glob("[!.]*")) if path.suffix in CHECKS]
    return [path for path in paths if ".part" not in path.name and path.name != "config.json"]


def leftovers(box: Sandbox) -> list[Path]:
    """Temporary files and journals."""
    return [path for folder in folders(box) for mark in (".*.tmp", "*.part*") for path in folder.glob(mark)]


def folders(box: Sandbox) -> list[Path]:
    """Where the loop writes, as far as it is there."""
    known = [*box.folder.glob("features/*"), box.folder / "checkpoints", box.folder / "predictions", box.folder]
    return [folder for folder in known if folder.is_dir()]


def torn(box: Sandbox, reference: Sandbox) -> list[str]:
    """Every file under its final name that is not whole, with the reason.

    Tables are compared with those of the undisturbed loop, since a table that was cut off can look like a whole one.
    """
    found = []
    for path in outputs(box):
        undisturbed = reference.folder / path.relative_to(box.folder)
        try:
            problem = CHECKS[path.suffix](path, undisturbed)
        except Exception as error:  # whatever a reader cannot take is what we look for
            problem = f"{type(error).__name__}: {error}"
        if problem:
            found.append(f"{path.relative_to(box.folder)}: {problem}")
    return found


def _check_log(path: Path, undisturbed: Path) -> str:
    """A log stops at a validation, earlier perhaps than the undisturbed one, or has not come to one."""
    text = path.read_text(encoding="utf-8")
    [json.loads(line) for line in text.splitlines()]
    whole = text.endswith("\n") or not text
    return "" if whole and undisturbed.read_text(encoding="utf-8").startswith(text) else "differs"


def _check_array(path: Path, undisturbed: Path) -> str:
    frames = np.load(path, allow_pickle=False)
    return "" if frames.dtype == np.float16 and np.isfinite(frames).all() and len(frames) else "is not whole"


def _check_index(path: Path, undisturbed: Path) -> str:
    """The index and the array that it names describe each other; open_clips checks this."""
    clips, _ = open_clips(path.parents[1], path.stem, SETTINGS, "")
    return "" if clips.fnames == [row[0] for row in json.loads(undisturbed.read_text())["clips"]] else "differs"


def _check_table(path: Path, undisturbed: Path) -> str:
    return "" if path.read_bytes() == undisturbed.read_bytes() else "differs"


def _no_problem(read: Callable[[Path], Any]) -> Callable[[Path, Path], str]:
    return lambda path, undisturbed: "" if read(path) else "is empty"


CHECKS: dict[str, Callable[[Path, Path], str]] = {
    ".pth": _no_problem(load_checkpoint),
    ".npz": _no_problem(lambda path: load_predictions(path).fnames),
    ".jsonl": _check_log,
    ".npy": _check_array,
    ".json": _check_index,
    ".csv": _check_table,
}


def differences(box: Sandbox, reference: Sandbox) -> list[str]:
    """What a finished loop left otherwise than the reference: names of files, or of values within them."""
    theirs = {path.relative_to(reference.folder) for path in outputs(reference)}
    mine = {path.relative_to(box.folder) for path in outputs(box)}
    found = [f"{path}: only in one of the two" for path in sorted(theirs ^ mine)]
    found += [f"{path.relative_to(box.folder)}: left over" for path in leftovers(box)]
    for path in sorted(theirs & mine):
        one, other = (folder / path for folder in (box.folder, reference.folder))
        if path.suffix == ".pth":
            found += [f"{path}: {where}" for where in unequal(load_checkpoint(one), load_checkpoint(other))]
        elif one.read_bytes() != other.read_bytes():
            found.append(f"{path}: other bytes")
    return found


def unequal(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nested values differ, to the bit in tensors."""
    if isinstance(one, list | tuple) and isinstance(other, type(one)):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: other keys, or another length"]
        return [text for key in one for text in unequal(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return [] if same and one.numpy().tobytes() == other.numpy().tobytes() else [where]
    same = type(one) is type(other) and (one == other or (one != one and other != other))
    return [] if same else [where]


class Watch:
    """Sees whether anything in a sandbox's output folders has changed since it was made."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.before = box, set()
        self.changed()

    def changed(self) -> bool:
        """Whether it has since the last time that it had."""
        seen = set()
        for entry in (entry for folder in folders(self.box) for entry in os.scandir(folder)):
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                seen.add((entry.path, stat.st_size, stat.st_mtime_ns))
        changed, self.before = seen != self.before, seen
        return changed
