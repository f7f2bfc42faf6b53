"""Files that are complete or absent: write beside, fsync, rename.  And a check beforehand that they can be written."""

import errno
import glob
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from utils.errors import MisuseError, UserError

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
DESCRIPTORS = ("/dev/fd", "/proc/self/fd")


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a file that takes the name `path` only when the block ends without an error.

    Until then it lies beside under a hidden name, so that a reader, a full disk or a kill never meets half a file.
    A link keeps pointing where it does: what it points to is replaced.  Devices, fifos and what the shell has opened
    (/dev/stdout, `>(...)`) are written into as the block goes on.  Text is UTF-8 whatever the locale.
    """
    how: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with _written_into(path, mode, how) if is_stream(path) else _replaced(path, mode, how) as file:
            yield file
    except OSError as error:
        if error.filename is None:  # a full disk does not say where
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


@contextmanager
def _replaced(path: str | Path, mode: str, how: dict[str, Any]) -> Iterator[IO]:
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    beside = _beside(target)
    try:
        with open(beside, mode, **how) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.filename == str(beside):  # a name that the user has never seen
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    sync_folder(target.parent)


def _written_into(path: str | Path, mode: str, how: dict[str, Any]) -> IO:
    descriptor = _descriptor(path)
    if descriptor is None:
        return open(os.open(path, os.O_WRONLY), mode, **how)
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()  # what was printed before comes before
    return open(os.dup(descriptor), mode, **how)


def is_stream(path: str | Path) -> bool:
    """Whether a path is there and is neither a file nor a folder.  Raises OSError on a loop of links."""
    if _descriptor(path) is not None:
        return True
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def try_outputs(flag: str, *paths: str | Path) -> None:
    """Raise UserError, or MisuseError where it is a folder, if a file cannot be written where a flag says.

    Called before anything is computed.  Makes no folder and leaves no file.
    """
    folders = {}  # by the one that is there already: a path
    for path in map(Path, paths):
        if os.path.isdir(path):
            raise MisuseError(f"{path} is a folder; name a file to write with {flag}")
        with _refusing(flag, path):
            if not is_stream(path):
                folders.setdefault(_nearest(Path(os.path.realpath(path)).parent), path)
            elif (descriptor := _descriptor(path)) is not None:
                os.fstat(descriptor)
            elif not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    for folder, path in folders.items():
        with _refusing(flag, path):
            probe = _beside(folder / path.name)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600))
            probe.unlink(missing_ok=True)


@contextmanager
def _refusing(flag: str, path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = _nearest(Path(os.path.realpath(path)).parent)
        reason = f"{error.strerror} ({where})" if os.path.isdir(where) else f"{where} is not a folder"
        raise UserError(f"{path} cannot be written: {reason}; name another place with {flag}") from None


def _nearest(folder: Path) -> Path:
    """The folder, or of those above it the first that is there."""
    return next(above for above in (folder, *folder.parents) if os.path.lexists(above))


def _descriptor(path: str | Path) -> int | None:
    """Which open file of this process a path stands for.  Opened by name, a file would lose what is in it."""
    name = os.path.abspath(path)
    folder, number = os.path.split(name)
    return int(number) if folder in DESCRIPTORS and re.fullmatch("[0-9]{1,9}", number) else STANDARD.get(name)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable; a file system that cannot do this is left as it is."""
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
