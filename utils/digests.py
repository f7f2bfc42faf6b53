"""What a result was made from: versions and digests."""

import hashlib
import platform
import zipfile
from collections.abc import Iterable, Sequence
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
    """Of strings in their order, or of an array's bytes."""
    numbers = isinstance(parts, np.ndarray) and parts.dtype.kind != "U"
    data = parts.tobytes() if numbers else "\n".join(parts).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def table_digest(rows: Sequence[str], columns: Sequence[str], table: np.ndarray) -> str:
    """Of a table (N, C) with these names of rows and columns, whatever their order."""
    in_order = table[np.argsort(rows, kind="stable")][:, np.argsort(columns)]
    return digest([*sorted(rows), *sorted(columns), digest(in_order.ravel())])


def tensors_digest(path: str | Path) -> str:
    """A digest of a checkpoint's tensors; "" for a file that is none.

    From the checksums in the zip file's directory, so without reading the tensors or importing torch.  The pickle
    beside them is left out: its bytes depend on whether a run was resumed.
    """
    try:
        with zipfile.ZipFile(path) as file:
            tensors = [info for info in file.infolist() if "/data/" in info.filename]
    except (zipfile.BadZipFile, NotImplementedError):  # the second: a version of zip that Python does not know
        return ""
    return digest(sorted(f"{info.file_size} {info.CRC}" for info in tensors))


def changes(before: MadeFrom, now: MadeFrom) -> list[str]:
    """Names of what differs, of those that both hold."""
    return [name for name in before if name in now and before[name] != now[name]]
