"""What a result was made from: versions, and digests that show whether it is still up to date."""

import hashlib
import platform
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

ALL_LABELS = "the labels of the data set"  # those that any fold trains on; they tell whether folds go together
MadeFrom = dict[str, str]  # what it is, in words that fit into a message -> its digest


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on, where they are installed."""
    found = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "librosa", "scikit-learn"):
        with suppress(PackageNotFoundError):  # training needs no librosa
            found[name] = version(name)
    return found


def digest(parts: Iterable[str] | np.ndarray) -> str:
    """Tells strings in an order, or arrays of numbers, apart."""
    numbers = isinstance(parts, np.ndarray) and parts.dtype.kind != "U"
    data = parts.tobytes() if numbers else "\n".join(parts).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def tensors_digest(path: str | Path) -> str:
    """Tells checkpoints apart by their tensors, the weights among them; "" for a file that is none.

    By the checksums in the file's directory, so without reading it or importing torch.  The pickle beside the tensors
    is left out: its bytes depend on whether a run was resumed, though what it says does not.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return digest(
                sorted(f"{info.file_size} {info.CRC}" for info in file.infolist() if "/data/" in info.filename)
            )
    except (zipfile.BadZipFile, NotImplementedError):  # the second: of a version or a method that zipfile does not know
        return ""


def changes(before: MadeFrom, now: MadeFrom) -> list[str]:
    """Names of the things that differ, of those that both hold."""
    return [name for name in before if name in now and before[name] != now[name]]
