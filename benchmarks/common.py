"""What the benchmarks share: contenders timed in turn, scripts run as a user runs them, tables of Markdown.

Each contender is a process of its own, with its own allocator, threads and caches, and works while all others wait: a
round of each, then the next round.  A busy minute then slows all of them, and ratios of a round hold.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch

from utils.digests import versions
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
REST = 1.0  # seconds between rounds, until threads that wait actively are idle
Row = dict[str, str]  # a table's row, by column
Work = Callable[[int], Any]  # does so many units of work


@dataclass
class Contender:
    """A row of a table, and the process behind it."""

    title: str
    build: Callable[..., Work]  # makes all that the work needs; it belongs to the first round
    args: tuple = ()
    cold: float = 0.0  # seconds from the start of its process to the end of its first round
    rounds: list[float] = field(default_factory=list)  # seconds a unit of work took in each later round
    result: Any = None  # of the last round

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block its process waits for work."""
        spawn = get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, Path.cwd(), self.build, self.args))
        process.start()
        theirs.close()
        with self.pipe:
            yield
        process.join()

    def work(self, amount: int) -> float:
        """Seconds that `amount` units took.  Raises UserError if the process ended instead."""
        try:
            self.pipe.send(amount)
            seconds, self.result = self.pipe.recv()
            return seconds
        except (EOFError, OSError):
            raise UserError(f"{self.title}: its process ended; what it said stands above") from None


def _serve(pipe: Connection, folder: Path, build: Callable[..., Work], args: tuple) -> None:
    """A contender's process: for each number do so many units of work, answer with seconds and result."""
    os.chdir(folder)
    work = None
    while True:
        try:
            amount = pipe.recv()
        except EOFError:
            if "joblib" in sys.modules:  # whose idle workers would live on for minutes
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor().shutdown(kill_workers=True)
            return
        began = time.perf_counter()
        work = work or build(*args)
        result = work(amount)
        pipe.send((time.perf_counter() - began, result))


def time_in_turn(contenders: list[Contender], repeats: int, amount: int) -> None:
    """Time `repeats` rounds of `amount` units of each, every other time in reverse, after a first round from cold."""
    with ExitStack() as stack:
        for contender in contenders:
            began = time.monotonic()
            stack.enter_context(contender.running())
            contender.work(amount)
            contender.cold = time.monotonic() - began
        for number in range(repeats):
            for contender in contenders[:: -1 if number % 2 else 1]:
                time.sleep(REST)
                contender.rounds.append(contender.work(amount) / amount)


def comparison(contenders: list[Contender], unit: str = "clip", clips: int = 1) -> list[Row]:
    """A table; the first contender is ours.  unit: of work, with so many clips.  Results are bytes of memory."""
    rows = []
    for each in contenders:
        ms = [1000 * seconds for seconds in each.rounds]
        ratios = [theirs / ours for ours, theirs in zip(contenders[0].rounds, each.rounds, strict=True)]
        rows.append(
            {
                "what": each.title,
                "clips/s": f"{1000 * clips / median(ms):,.4g}",
                f"ms a {unit}": f"{median(ms):,.4g} ({min(ms):,.4g}..{max(ms):,.4g})",
                "ours is so many times as fast": f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})",
                "first round from cold, s": f"{each.cold:.3g}",
                "memory, MB": f"{each.result / 1e6:,.0f}",
            }
        )
    return rows


def script(name: str, *flags: object, root: Path = ROOT, cwd: Path | None = None) -> None:
    """Run one of the scripts of a root, in a folder.  Raises UserError with its output if it fails."""
    command = [sys.executable, str(root / name), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise UserError(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def markdown(rows: list[Row]) -> str:
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def publish(title: str, facts: str, rows: list[Row], args: argparse.Namespace) -> None:
    """Print a section of Markdown and append it to the file --output.  facts: sizes and n; args: the script's."""
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    where = f"{machine(args.device)}, load average {os.getloadavg()[0]:.1f}"
    text = f"### {title}\n\n{where}; {packages}; {facts}.\n\n{markdown(rows)}"
    print(f"\n{text}", flush=True)
    if args.output:
        with open(args.output, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def machine(device: str) -> str:
    """The GPU's name if it is measured, else the CPU's and its cores."""
    if device == "cuda":
        return torch.cuda.get_device_name(0)
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8") if info.exists() else "")
    return f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}"
