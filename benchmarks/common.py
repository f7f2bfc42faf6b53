"""What the benchmarks share: contenders that are timed in turn, scripts run as a user runs them, tables of Markdown.

Each contender is a process of its own, so that none profits from another's allocator, threads or caches.  It works on
command while all others wait: a round of each, then the next round.  So a busy minute slows all of them, and the ratio
of two contenders holds where their times do not.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from utils.digests import versions
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("PYTHON") or sys.executable  # that runs contenders and scripts, as in run.sh
SCRIPT = Path(sys.argv[0]).resolve()  # before it goes to another folder
REST = 1.0  # seconds between rounds, in which threads that wait actively come to rest
Row = dict[str, str]  # a table's row, by column
Work = Callable[[int], Any]  # does so many units of work


@dataclass
class Contender:
    """A line of a table, the process behind it, which is this script with `--worker NAME`, and what was measured."""

    name: str
    title: str
    folder: Path | None = None  # where it runs
    flags: tuple[str, ...] = ()  # of this script, after those on the command line
    cold: float = 0.0  # seconds from the start of its process to the end of its first round
    rounds: list[float] = field(default_factory=list)  # seconds a unit of work took in each later round
    result: Any = None  # of the last round

    def start(self) -> subprocess.Popen:
        """Its process, which ends when its pipes are closed."""
        command = [PYTHON, str(SCRIPT), *sys.argv[1:], *self.flags, "--worker", self.name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self.process = subprocess.Popen(command, cwd=self.folder, **pipes)
        return self.process

    def work(self, amount: int) -> float:
        """Seconds that it took to do `amount` units.  Raises UserError if the process ended instead."""
        try:
            self.process.stdin.write(b"%d\n" % amount)
            seconds, self.result = json.loads(self.process.stdout.readline())
            return seconds
        except (BrokenPipeError, ValueError):
            raise UserError(f"{self.title}: its process ended; what it said stands above") from None


def time_in_turn(contenders: list[Contender], repeats: int, amount: int, warm_up: int) -> None:
    """Time `repeats` rounds of `amount` units of each contender in turn, every other time in reverse.

    warm_up: units of the first round, which also builds everything and counts as cold.
    """
    with ExitStack() as stack:
        for contender in contenders:
            began = time.monotonic()
            stack.enter_context(contender.start())
            contender.work(warm_up)
            contender.cold = time.monotonic() - began
        for number in range(repeats):
            for contender in contenders[:: -1 if number % 2 else 1]:
                time.sleep(REST)
                contender.rounds.append(contender.work(amount) / amount)


def serve(build: Callable[[], Work]) -> None:
    """In a contender's process: for each number on stdin do that many units of work, answer with seconds and result.

    build makes everything that the work needs, in the first round.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the measured code prints is no answer
    work = None
    for line in sys.stdin:
        began = time.perf_counter()
        work = work or build()
        result = work(int(line))
        print(json.dumps([time.perf_counter() - began, result]), file=answers, flush=True)


def comparison(contenders: list[Contender], unit: str = "clip", clips: int = 1) -> list[Row]:
    """A table in which the first contender is ours.  unit: the name of a unit of work, which has so many clips.

    The result of the work is the bytes that it held.
    """
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


def script(name: str, *flags: object, **environ: str) -> None:
    """Run one of the repository's scripts, as a user does.  Raises UserError with what it said if it fails."""
    command = [PYTHON, str(ROOT / name), *map(str, flags)]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def publish(title: str, facts: str, rows: list[Row], args: argparse.Namespace, *notes: str) -> None:
    """Print a section of Markdown and append it to the file --output.  facts: sizes and n; args: the script's."""
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    measured_on = f"{machine(args.device)}; {packages}; {facts}."
    text = "\n\n".join([f"### {title}", measured_on, markdown(rows), *notes]) + "\n"
    print(f"\n{text}", flush=True)
    if args.output:
        with open(args.output, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def markdown(rows: list[Row]) -> str:
    """A Markdown table; the first row names the columns."""
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine(device: str) -> str:
    """The GPU's name where it is the GPU that is measured, else the CPU's, its cores and how busy it was before."""
    if device == "cuda":
        return torch.cuda.get_device_name(0)
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores of {model}, load average {os.getloadavg()[0]:.1f}"
