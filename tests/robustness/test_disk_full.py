"""Fill the disk under every stage: one clear line, what was there stays, and with room again the run goes on.

Either on a small tmpfs (mounting takes root), where a ballast file leaves so many bytes free; or on an ordinary disk
with a limit on the size of a file, as `ulimit -f` sets it.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.robustness.conftest import REPORT

ROOMS = (0, *(4096 << 2 * i for i in range(8)))  # bytes; 4 KiB is the least that a tmpfs hands out
DISK = ROOMS[-1]
MADE = ("features", "checkpoints", "predictions", "oof.csv")  # one of which the error names


@pytest.fixture(params=["ulimit -f", "full disk"] if REPORT else ["ulimit -f"])
def disk(request, tmp_path) -> Iterator[tuple[str, Path]]:
    """The kind of shortage, and an empty folder for it."""
    if request.param == "ulimit -f":
        yield request.param, tmp_path
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(tmp_path)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield request.param, tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@contextmanager
def shortage(kind: str, folder: Path, room: int) -> Iterator[None]:
    """Leave so many bytes on the disk, or for a file."""
    ballast, limits = folder / "ballast.part", resource.getrlimit(resource.RLIMIT_FSIZE)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    try:
        if kind == "ulimit -f":
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        elif free > room:
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - room)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        ballast.unlink(missing_ok=True)


def attempt(kind: str, victim, peace, stage: str, room: int) -> tuple[str, list[str]]:
    """Run a stage with so little room: the line in which it failed, empty if it did not; and all that is wrong."""
    before = victim.files()
    with shortage(kind, victim.folder, room):
        done = victim.run(stage)
    problems = victim.torn(peace) + [f"{name} is left over" for name in victim.files() if name.suffix == ".tmp"]
    problems += [f"{name} is gone" for name in before if name not in victim.files() and name.suffix != ".npy"]
    line = done.err.splitlines()[-1] if done.code else ""
    if line and (done.code != 1 or ".py: " not in line or not any(name in line for name in MADE)):
        problems.append(f"exit code {done.code}, no clear line: {done.err[-400:]}")
    return line, [f"{stage} with {room} bytes: {problem}" for problem in problems]


def test_without_room_a_stage_fails_in_one_line_and_with_room_it_goes_on(disk, peace, new_victim, size, tell):
    kind, folder = disk
    victim, rows, problems = new_victim(folder / "victim"), [], []
    for stage in victim.stages:
        lines = []
        for room in size((0, DISK), ROOMS):
            line, found = attempt(kind, victim, peace, stage, room)
            problems += found
            if not line:
                break
            lines.append(line)
        assert lines, f"{stage} needed no room"
        assert not line, line
        before = {name: (victim.folder / name).read_bytes() for name in victim.files()}
        problems += attempt(kind, victim, peace, stage, 0)[1]  # over the good files
        problems += [f"{x} changed" for x, data in before.items() if (victim.folder / x).read_bytes() != data]
        rows.append((stage, len(lines), 0, lines[-1].replace(str(folder), "")))
    assert problems == []
    assert victim.differences(peace) == []
    facts = (
        "each stage with more and more room until it succeeded, then again with none; in the end all files were whole"
    )
    tell(f"No room: {kind}", facts, ["stage", "failed for want of room", "torn or lost files", "says"], rows)
