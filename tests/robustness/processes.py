"""Groups of processes: run one with a time limit, see who is in it and what memory it takes, end it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit

LOOK = 0.1  # seconds between two looks at a group


@dataclass(frozen=True)
class Finished:
    """How a command ended and what its processes took together."""

    code: int | None  # None: it ran into the time limit
    out: str
    err: str
    seconds: float
    peak_memory: int  # bytes, proportional set size: pages that processes share count once


def members(group: int) -> list[int]:
    """Processes of a group that are alive."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            state, _, its_group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(pid))
    return found


def command_line(pid: int) -> list[str]:
    """What a process was called with; empty once it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    return []


def end(group: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to all of a group and wait until none is left."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
    wait_for(lambda: not members(group), seconds=60)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Look until the condition holds.  Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(0.002)


def run_group(
    command: list[str], cwd: Path, environ: dict[str, str], limit: float, largest_file: int | None = None
) -> Finished:
    """Run a command in a group of its own; all that is left of it is killed at the end, or after `limit` seconds.

    largest_file: bytes, as `ulimit -f`.
    """
    sizes = None if largest_file is None else lambda: setrlimit(RLIMIT_FSIZE, (largest_file, largest_file))
    began, peak, pipe = time.monotonic(), 0, subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        process_group=0, preexec_fn=sizes, text=True, errors="surrogateescape",
    )  # fmt: skip
    in_time = True
    try:
        while True:
            try:
                out, err = process.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory(process.pid))
                if in_time and time.monotonic() - began > limit:
                    in_time = False
                    end(process.pid)
    finally:
        end(process.pid)
    return Finished(process.returncode if in_time else None, out, err, time.monotonic() - began, peak)


def memory(group: int) -> int:
    """Bytes that a group's processes take together."""
    total = 0
    for pid in members(group):
        with suppress(OSError, IndexError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += 1024 * int(rollup.partition("\nPss:")[2].split()[0])
    return total
