"""Contenders timed in turn on a machine that others may use too.

Each contender is a process of its own, so that none profits from another's allocator, threads or caches.  It works
for one round on command while all others wait; a round of each, then the next round, so that a busy minute hits all
alike and the ratio of two contenders holds where their times do not.
"""

import argparse
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.common import PYTHON, Row, add_output_flag
from utils.cli import positive_int
from utils.errors import UserError

SETTLE = 1.0  # seconds between rounds, in which prefetching processes and spinning threads come to rest


def add_round_flags(parser: argparse.ArgumentParser, repeats: int) -> None:
    """Flags of every script that times rounds."""
    parser.add_argument("--repeats", type=positive_int, default=repeats, help="rounds of each contender, in turn")
    add_output_flag(parser)
    parser.add_argument("--worker", help=argparse.SUPPRESS)


@dataclass(frozen=True)
class Contender:
    """A line of the table, and the process behind it: this script again, with `--worker NAME` and further flags."""

    name: str
    title: str
    goal: str = ""
    amount: int = 1  # units of work in a round, such as steps
    flags: tuple[str, ...] = ()
    folder: Path | None = None  # where it runs
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Timing:
    """What was measured of one contender."""

    cold: float = 0.0  # seconds from the start of its process to the end of its first round
    rounds: list[float] = field(default_factory=list)  # seconds a unit of work took in each later round
    own_memory: int = 0  # bytes, the most that the process itself owned at any look (RssAnon)
    file_memory: int = 0  # bytes, likewise, of files mapped into memory, which the kernel can take back (RssFile)


def timed_rounds(contenders: list[Contender], repeats: int, warm_up: int) -> list[Timing]:
    """Time `repeats` rounds of each contender in turn, every other time in reverse.

    warm_up: units of the first round, which also builds everything and counts as cold.
    """
    timings = [Timing() for _ in contenders]
    with ExitStack() as stack:
        workers = []
        for contender, timing in zip(contenders, timings, strict=True):
            spawned = time.monotonic()
            workers.append(stack.enter_context(_Worker(contender, timing)))
            workers[-1].work(warm_up)
            timing.cold = time.monotonic() - spawned
        for number in range(repeats):
            for worker in workers[:: -1 if number % 2 else 1]:
                time.sleep(SETTLE)
                worker.round()
    return timings


class _Worker:
    def __init__(self, contender: Contender, timing: Timing) -> None:
        self.contender, self.timing = contender, timing

    def __enter__(self) -> "_Worker":
        script, *flags = sys.argv
        command = [PYTHON, str(Path(script).resolve()), *flags, *self.contender.flags]
        self.process = subprocess.Popen(
            [*command, "--worker", self.contender.name],
            cwd=self.contender.folder,
            env=os.environ | self.contender.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()  # which ends serve()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def round(self) -> None:
        amount = self.contender.amount
        self.timing.rounds.append(self.work(amount) / amount)

    def work(self, amount: int) -> float:
        """Seconds that it took to do `amount` units.  Raises UserError if the process ended instead."""
        try:
            self.process.stdin.write(f"{amount}\n")
            self.process.stdin.flush()
            while not select.select([self.process.stdout], [], [], 0.1)[0]:
                self._look_at_memory()
            return float(self.process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise UserError(f"{self.contender.title}: its process ended; what it said stands above") from None

    def _look_at_memory(self) -> None:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:  # not Linux, or gone
            return
        sizes = {key: value for key, _, value in (line.partition(":") for line in status.splitlines())}
        own, file = (int(sizes.get(key, "0 kB").split()[0]) * 1024 for key in ("RssAnon", "RssFile"))
        self.timing.own_memory = max(self.timing.own_memory, own)
        self.timing.file_memory = max(self.timing.file_memory, file)


def serve(build: Callable[[], Callable[[int], object]]) -> None:
    """In a contender's process: for each number on stdin do that many units of work, answer with the seconds.

    build makes everything that the work needs, in the first round.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the code under test prints is no answer
    work = None
    for line in sys.stdin:
        began = time.perf_counter()
        work = work or build()
        work(int(line))
        print(time.perf_counter() - began, file=answers, flush=True)


def ratio(ours: Timing, other: Timing) -> tuple[float, float, float]:
    """How many times as fast as the other we are: median, smallest and largest of the rounds' own ratios."""
    each = [theirs / mine for mine, theirs in zip(ours.rounds, other.rounds, strict=True)]
    return median(each), min(each), max(each)


def comparison(contenders: list[Contender], timings: list[Timing], unit: str = "clip", clips: int = 1) -> list[Row]:
    """A table in which the first contender is ours.  unit: the name of a unit of work, which has so many clips."""
    rows = []
    for contender, timing in zip(contenders, timings, strict=True):
        times, low, high = ratio(timings[0], timing)
        ms = [1000 * seconds for seconds in timing.rounds]
        rows.append(
            {
                "what": contender.title,
                "clips/s": f"{clips / median(timing.rounds):,.4g}",
                f"ms a {unit}": f"{median(ms):,.4g} ({min(ms):,.4g}..{max(ms):,.4g})",
                "first round from cold, s": f"{timing.cold:.3g}",
                "ours is so many times as fast": "" if timing is timings[0] else f"{times:.2f} ({low:.2f}..{high:.2f})",
                "goal": contender.goal,
            }
        )
    return rows
