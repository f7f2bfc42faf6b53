"""Fill the disk under every stage: one clear line, what was there stays, and with room again the loop goes on.

A sandbox in which the loop has ended is copied to a small tmpfs (mounting takes root).  For each pass of the loop what
it made is removed, and a ballast file leaves no byte free at first, then 4 KiB, then four times as much each time until
the pass succeeds; then it is run once more with no byte free, over the good files that it has just written.  The same
again on an ordinary disk with a limit on the size of a file, as `ulimit -f` sets it.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository's root

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from benchmarks.common import Row
from tests.robustness.loop_results import differences, leftovers, outputs, torn
from tests.robustness.processes import Finished, run_group
from tests.robustness.report import attack_parser, exit_when_terminated, report
from tests.robustness.sandbox import MADE, PASSES, SCRIPTS, Pass, Sandbox, undisturbed
from utils.errors import run

PAGE, GROWTH, STEPS = 4096, 4, 9  # bytes, the least that a tmpfs hands out
ROOMS = (0, *(PAGE * GROWTH**i for i in range(STEPS)))
DISK = ROOMS[-1]  # bytes of the tmpfs
LIMIT = 600  # seconds a pass may take
KINDS = ("disk full", "ulimit -f")


@dataclass
class Tally:
    """What happened to one stage under one kind of shortage."""

    failed: int = 0  # as it should, for want of room
    succeeded: int = 0
    problems: list[str] = field(default_factory=list)
    said: str = ""  # the last line of the last failure


def main() -> int:
    args = attack_parser(__doc__, "disk_full.py").parse_args()
    exit_when_terminated()
    began, tallies, notes = time.monotonic(), {}, []
    with TemporaryDirectory(prefix="full-") as name, undisturbed(Path(name)) as (reference, passes):
        for kind in KINDS:
            try:
                with room_for(kind, Path(name) / kind.split()[0]) as folder:
                    found = squeeze(kind, folder, reference, passes)
            except PermissionError as error:
                notes.append(f"{kind}: left out; {error}.")
                continue
            tallies |= {(kind, stage): tally for stage, tally in found.items()}
    problems = [f"{kind}, {stage}: {text}" for (kind, stage), t in tallies.items() for text in t.problems]
    facts = f"{sum(t.failed for t in tallies.values())} runs with too little room; {time.monotonic() - began:.0f} s"
    notes.append("With room again each pass must have made the files that it makes where there always was room.")
    return report("Disk full", facts, rows(tallies), notes, problems, args)


@contextmanager
def room_for(kind: str, folder: Path) -> Iterator[Path]:
    """An empty folder, on a tmpfs if it is to be full.  Raises PermissionError where none can be mounted."""
    folder.mkdir()
    if kind == "ulimit -f":
        yield folder
        return
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"a tmpfs cannot be mounted here ({error})") from None
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def squeeze(
    kind: str,
    folder: Path,
    reference: Sandbox,
    passes: dict[str, Pass],
    names: Sequence[str] = PASSES,
    rooms: Sequence[int] = ROOMS,
) -> dict[str, Tally]:
    """Run passes of the loop anew with more and more room until they succeed, and again with none; by stage."""
    box, tallies = reference.copy(folder / "box"), {stage: Tally() for stage in SCRIPTS}
    for name in names:
        tally = tallies[name.split()[0]]
        box.undo(name)
        for room in rooms:
            if not attempt(kind, box, reference, name, passes[name].argv, room, tally):
                break
        before = {path: path.read_bytes() for path in outputs(box)}
        attempt(kind, box, reference, name, passes[name].argv, 0, tally)
        changed = [path for path, data in before.items() if not path.exists() or path.read_bytes() != data]
        tally.problems += [f"{name}, done once more: {path.name} changed" for path in changed]
        print(f"{kind}, {name}: succeeded with {room} bytes free", flush=True)
    tally.problems += [f"with room again: {text}" for text in differences(box, reference)]
    return tallies


def attempt(kind: str, box: Sandbox, reference: Sandbox, name: str, argv: list[str], room: int, tally: Tally) -> bool:
    """Run a pass as run.sh does; whether it failed.  What is wrong about that goes to the tally."""
    before = outputs(box)
    done = run_short(kind, box, argv, room)
    found = torn(box, reference)
    found += [f"{path.name} is gone" for path in before if not path.exists() and path.suffix != ".npy"]
    found += [f"{path.name} is left over" for path in leftovers(box) if path.suffix == ".tmp"]
    if done.code == 0:
        tally.succeeded += 1
    else:
        tally.failed += 1
        tally.said = (done.err.splitlines() or [""])[-1]
        named = any(part in tally.said for part in MADE)
        if done.code != 1 or "Traceback" in done.err or not tally.said.startswith(Path(argv[0]).name) or not named:
            found.append(f"exit code {done.code}, no clear line: {done.err[-400:]!r}")
    tally.problems += [f"{name} with {room} bytes: {text}" for text in found]
    return done.code != 0


def run_short(kind: str, box: Sandbox, argv: list[str], room: int) -> Finished:
    """Run a script with so many bytes free on the disk, or in a file."""
    ballast, disk = box.folder / "ballast", os.statvfs(box.folder)
    size = disk.f_bavail * disk.f_frsize - room
    try:
        if kind == "disk full" and size > 0:
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        largest, python = room if kind == "ulimit -f" else None, box.python
        if largest is not None and argv[0] == SCRIPTS["features"]:
            python = sys.executable  # afresh: joblib asks for semaphores, which are files, when it is imported
        return run_group([python, *argv], box.folder, box.environ, LIMIT, largest)
    finally:
        ballast.unlink(missing_ok=True)


def rows(tallies: dict[tuple[str, str], Tally]) -> list[Row]:
    """A line per shortage and stage."""
    columns = ("shortage", "stage", "failed for want of room", "succeeded", "torn or lost files, unclear ends", "says")
    counts = [(*key, tally.failed, tally.succeeded, len(tally.problems), tally.said) for key, tally in tallies.items()]
    return [dict(zip(columns, map(str, count), strict=True)) for count in counts]


if __name__ == "__main__":
    run(main)
