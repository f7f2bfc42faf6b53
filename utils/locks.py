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
    """Own what a lock file stands for; the file says by whom and since when.  It stays, and means nothing unlocked.

    Raises UserError, with that and the remedy, where a living process owns it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+", buffering=0) as file:
        if not lock(file):
            file.seek(0)
            owner = one_line(file.read(200).decode("utf-8", "replace").strip()) or "another process"
            raise UserError(f"{what} belong to {owner}; {remedy}")
        with suppress(OSError):  # a full disk: it is owned all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n".encode())
        yield
