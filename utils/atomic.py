"""Files that are complete or absent: write beside, fsync, rename.  And a check beforehand that they can be written."""

import errno
import glob
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from utils.errors import MisuseError, UserError

NO_FILE = "is a folder, a device or a pipe"


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a file that takes the name `path` only when the block ends without an error.

    Until then it has a hidden name in the same folder.  A link stays: what it points to is replaced.  Text is UTF-8.
    Raises OSError, which names `path`; a device, a pipe or a folder is not replaced.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, f"it {NO_FILE}", str(path))
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    beside = _beside(target)
    try:
        with open(beside, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": ""})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(beside)):  # a full disk does not say where
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    sync_folder(target.parent)


def try_outputs(flag: str, *paths: str | Path) -> None:
    """Check, before anything is computed, that files can be written where a flag says.  Leaves nothing behind.

    Raises MisuseError where there is something else than a file, UserError for any other reason.
    """
    for path in map(Path, paths):
        folder = next(above for above in Path(os.path.realpath(path)).parents if os.path.lexists(above))
        try:
            if path.exists() and not path.is_file():
                raise MisuseError(f"{path} {NO_FILE}; name a file to write with {flag}")
            probe = _beside(folder / path.name)
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = f"{error.strerror} ({folder})" if folder.is_dir() else f"{folder} is not a folder"
            raise UserError(f"{path} cannot be written: {reason}; name another place with {flag}") from None


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_leftovers(path: Path) -> None:
    """Delete what killed processes of this machine left beside `path`."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.{socket.gethostname()}.*.tmp"):
        pid = leftover.name.split(".")[-2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            leftover.unlink(missing_ok=True)
