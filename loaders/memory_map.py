"""Rows of features on disk, memory-mapped; on file systems that map no files they are read."""

import errno
import sys
from pathlib import Path

import numpy as np

NO_MAPS = {errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP}


def map_array(path: Path) -> np.ndarray:
    """An array (.npy), read-only.  Raises what np.load raises on a file that is none, or on none at all."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        _tell(error, path)
        return np.load(path, allow_pickle=False)


def map_journal(path: Path, n_mels: int) -> np.ndarray:
    """The rows (frames, n_mels) float16 of a file without a header."""
    try:
        rows = np.memmap(path, np.float16, "r")
    except OSError as error:
        _tell(error, path)
        rows = np.fromfile(path, np.float16)
    return rows.reshape(-1, n_mels)


def _tell(error: OSError, path: Path) -> None:
    if error.errno not in NO_MAPS:
        raise error
    print(
        f"{path} cannot be memory-mapped where it lies ({error.strerror}); reading it whole, "
        f"{path.stat().st_size / 1e6:.0f} MB",
        file=sys.stderr,
    )
