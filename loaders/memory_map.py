"""Arrays on disk, memory-mapped; on file systems that map no files they are read."""

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
        if error.errno not in NO_MAPS:
            raise
        size = f"{path.stat().st_size / 1e6:.0f} MB"
        print(
            f"{path} cannot be memory-mapped where it lies ({error.strerror}); reading it whole, {size}",
            file=sys.stderr,
        )
        return np.load(path, allow_pickle=False)
