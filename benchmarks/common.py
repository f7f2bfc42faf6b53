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
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

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

    def work(self, process: Executor, amount: int) -> float:
        """Seconds that `amount` units took there.  Raises UserError with what went wrong, or if the process ended."""
        try:
            done = process.submit(_timed, self.title, self.build, self.args, amount)
            seconds, self.result = done.result()
            return seconds
        except Exception as error:
            raise UserError(f"{self.title}: {type(error).__name__}: {error}") from error


_works: dict[str, Work] = {}  # in a contender's process, by title


def _timed(title: str, build: Callable[..., Work], args: tuple, amount: int) -> tuple[float, Any]:
    began = time.perf_counter()
    if title not in _works:
        _works[title] = build(*args)
    result = _works[title](amount)
    return time.perf_counter() - began, result


def time_in_turn(contenders: list[Contender], repeats: int, amount: int) -> None:
    """Time `repeats` rounds of `amount` units of each, every other time in reverse, after a first round from cold."""
    pairs = []
    with ExitStack() as stack:
        for contender in contenders:
            began = time.monotonic()
            process = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
            contender.work(process, amount)
            contender.cold = time.monotonic() - began
            pairs.append((contender, process))
        for number in range(repeats):
            for contender, process in pairs[:: -1 if number % 2 else 1]:
                time.sleep(REST)
                contender.rounds.append(contender.work(process, amount) / amount)


def comparison(contenders: list[Contender], unit: str, clips: int) -> list[Row]:
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


def script(name: str, *flags: object, cwd: Path | None = None) -> None:
    """Run one of the scripts in a folder.  Raises UserError with its output if it fails."""
    command = [sys.executable, str(ROOT / name), *map(str, flags)]
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
        import torch  # slow, and not every contender needs it

        return torch.cuda.get_device_name(0)
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8") if info.exists() else "")
    return f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}"
