"""Locks on files, which a process holds until it ends, however it ends.  Where there are none, a line says so."""

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from utils.errors import UserError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def lock(file: IO, wait: bool = False) -> bool:
    """Lock an open file; False if another process has locked it.  wait: until that one lets go.

    Where files cannot be locked it is True, and a line on stderr says so.
    """
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, "this system has no locks")
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        problem = f"{Path(file.name).parent} lies where files cannot be locked ({error.strerror})"
        print(f"{problem}; going on without: do not run this twice at the same time", file=sys.stderr)
    return True


@contextmanager
def owned(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Own what a lock file stands for; the file says by whom and since when, and is gone afterwards.

    Raises UserError, with that and the remedy, where a living process owns it.  A file that a dead one left is taken.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # an owner that has just ended took the folder along
            file = open(path, "ab+", buffering=0)  # noqa: SIM115
            if not lock(file):
                with file:
                    file.seek(0)
                    owner = one_line(file.read(200).decode("utf-8", "replace").strip()) or "another process"
                raise UserError(f"{what} belong to {owner}; {remedy}")
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
            file.close()  # the owner before removed it after it was opened here
    with file:
        with suppress(OSError):  # a full disk: it is owned all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):  # it is of use now
                    folder.rmdir()
