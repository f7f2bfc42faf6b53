"""What a result was made from: versions, and digests that tell whether it still is up to date."""

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

MadeFrom = dict[str, str]  # what it is, in words that fit into a message -> its digest


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "torchvision", "numpy", "librosa", "scikit-learn")
    }


def digest(parts: Iterable[str] | np.ndarray) -> str:
    """Tells lists of strings, or arrays of numbers, apart.  An array of strings has the digest of their list."""
    numbers = isinstance(parts, np.ndarray) and parts.dtype.kind != "U"
    data = parts.tobytes() if numbers else "\n".join(parts).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Tells files apart by what is in them."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def changes(before: MadeFrom, now: MadeFrom) -> list[str]:
    """What has changed of the things that both know."""
    return [name for name in before if name in now and before[name] != now[name]]
