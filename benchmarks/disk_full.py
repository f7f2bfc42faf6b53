"""Fill the disk under every stage: one clear line, what was there stays, and with room again the loop goes on.

The passes of the loop are run one by one in a sandbox that lies on a small tmpfs (mounting takes root).  A ballast
file leaves no byte free at first, then 4 KiB, then four times as much each time until the pass succeeds; then the pass
is run once more with no byte free, over the good files that it has just written.  The same again on an ordinary disk
with a limit on the size of a file, as `ulimit -f` sets it.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from benchmarks.common import Row, add_output_flag, publish
from benchmarks.loop_results import differences, leftovers, outputs, torn
from benchmarks.processes import Finished, exit_when_terminated, run_group
from benchmarks.sandbox import SCRIPTS, Pass, Sandbox, make_corpus, make_sandbox, warm_python, watch
from utils.cli import make_parser
from utils.errors import run

DISK = 256 << 20  # bytes of the tmpfs
PAGE, GROWTH = 4096, 4  # bytes, the least that a tmpfs hands out; how much more room the next attempt gets
LIMIT = 600  # seconds a pass may take
SHORTAGES = {"full": "disk full", "limit": "ulimit -f"}
FOLDERS = ("features", "checkpoints", "predictions", "submission.csv", "oof.csv")


@dataclass
class Tally:
    """What happened to one stage under one kind of shortage."""

    failed: int = 0  # as it should, for want of room
    succeeded: int = 0
    problems: list[str] = field(default_factory=list)
    said: str = ""  # the last line of the last failure


@dataclass(frozen=True)
class Shortage:
    """A sandbox in which a command can be run with little room."""

    kind: str  # of SHORTAGES
    box: Sandbox
    reference: Sandbox

    def run(self, argv: list[str], room: int | None) -> Finished:
        """Run a script with so many bytes free on the disk, or in a file.  None: no shortage."""
        ballast = self.box.folder / "ballast"
        if self.kind == "full" and room is not None:
            fill(ballast, room)
        try:
            command, largest = [*self.box.python.split(), *argv], room if self.kind == "limit" else None
            return run_group(command, self.box.folder, self.box.environ, LIMIT, largest)
        finally:
            ballast.unlink(missing_ok=True)


def fill(ballast: Path, room: int) -> None:
    """Leave so many bytes of the disk free."""
    disk = os.statvfs(ballast.parent)
    size = disk.f_bavail * disk.f_frsize - room
    if size > 0:
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    began, tallies, notes = time.monotonic(), {}, []
    with TemporaryDirectory(prefix="full-") as name, ExitStack() as stack:
        folder = Path(name)
        python = stack.enter_context(warm_python(folder)) if args.warm_start else sys.executable
        corpus = make_corpus(folder / "data")
        reference = make_sandbox(folder / "reference", corpus, python)
        passes = watch(reference)
        for kind in args.shortages:
            place = folder / kind
            place.mkdir()
            try:
                stack.enter_context(small_disk(place) if kind == "full" else ExitStack())
            except PermissionError as error:
                notes.append(f"{SHORTAGES[kind]}: left out; {error}.")
                continue
            shortage = Shortage(kind, make_sandbox(place / "box", corpus, python), reference)
            tallies |= squeeze(shortage, passes)
            shortage.box.finish()
            found = differences(shortage.box, reference)
            notes.append(f"{SHORTAGES[kind]}: with room again the loop ended with the same files as one that always "
                         f"had room: {'no: ' + ', '.join(found[:5]) if found else 'yes'}.")  # fmt: skip
            tallies[kind, "features"].problems += found
    problems = [f"{SHORTAGES[kind]}, {stage}: {text}" for (kind, stage), t in tallies.items() for text in t.problems]
    facts = f"{sum(t.failed for t in tallies.values())} runs with too little room; {time.monotonic() - began:.0f} s"
    publish("Disk full", facts, rows(tallies), [*notes, f"Problems: {len(problems)}.", *problems[:50]], args)
    return int(bool(problems))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a tmpfs.  Raises PermissionError where this is not allowed."""
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"a tmpfs cannot be mounted here ({error})") from None
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def squeeze(shortage: Shortage, passes: dict[str, Pass]) -> dict[tuple[str, str], Tally]:
    """Run each pass of the loop with more and more room until it succeeds, and again with none."""
    tallies = {(shortage.kind, stage): Tally() for stage in SCRIPTS}
    for name, each in passes.items():
        tally, room = tallies[shortage.kind, name.split()[0]], 0
        while attempt(shortage, name, each.argv, room, tally) and room < DISK:
            room = room * GROWTH or PAGE
        before = {path: path.read_bytes() for path in outputs(shortage.box)}
        attempt(shortage, name, each.argv, 0, tally)
        changed = [path for path, data in before.items() if not path.exists() or path.read_bytes() != data]
        tally.problems += [f"{name}, done once more: {path.name} changed" for path in changed]
        print(f"{SHORTAGES[shortage.kind]}, {name}: succeeded with {room} bytes free", flush=True)
    return tallies


def attempt(shortage: Shortage, name: str, argv: list[str], room: int, tally: Tally) -> bool:
    """Run a pass as run.sh does; whether it failed.  What is wrong about that goes to the tally."""
    box, before = shortage.box, outputs(shortage.box)
    fold = name.split()[-1]
    if name.startswith("train") and (last := [*box.folder.glob(f"checkpoints/*_last_*_{fold}-*.pth")]):
        argv = [*argv, "--resume", str(last[0].relative_to(box.folder))]
    done = shortage.run(argv, room)
    found = torn(box, shortage.reference)
    found += [f"{path.name} is gone" for path in before if not path.exists() and path.suffix != ".npy"]
    found += [f"{path.name} is left over" for path in leftovers(box) if path.suffix == ".tmp"]
    if done.code == 0:
        tally.succeeded += 1
    else:
        tally.failed += 1
        tally.said = (done.err.splitlines() or [""])[-1]
        named = any(part in tally.said for part in FOLDERS)
        if done.code != 1 or "Traceback" in done.err or not tally.said.startswith(Path(argv[0]).name) or not named:
            found.append(f"exit code {done.code}, no clear line: {done.err[-400:]!r}")
    tally.problems += [f"{name} with {room} bytes: {text}" for text in found]
    return done.code != 0


def rows(tallies: dict[tuple[str, str], Tally]) -> list[Row]:
    """A line per shortage and stage."""
    return [
        {
            "shortage": SHORTAGES[kind],
            "stage": stage,
            "failed for want of room": str(tally.failed),
            "succeeded": str(tally.succeeded),
            "torn or lost files, unclear ends": str(len(tally.problems)),
            "what it says": tally.said,
        }
        for (kind, stage), tally in tallies.items()
    ]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/disk_full.py --output results.md")
    parser.add_argument(
        "--shortages", nargs="+", choices=list(SHORTAGES), default=list(SHORTAGES), help="a full disk, ulimit -f"
    )
    on_off = {"action": argparse.BooleanOptionalAction, "default": True}
    parser.add_argument("--warm_start", **on_off, help="fork scripts from a process that has imported torch: faster")
    add_output_flag(parser)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
