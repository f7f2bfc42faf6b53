"""Pull the plug: kill the loop at random moments of every stage, start it again, and compare with one left in peace.

A sandbox (a copy of the repository beside 84 clips, 2 folds of 9 steps) runs the loop undisturbed.  In another one it
is started and its whole process group is killed with SIGKILL, half of the times at any moment of a stage, half of the
times just when it writes.  After every kill all files under their final names must be whole; after some 15 kills the
loop is started once more, must end with the same files, bit for bit, and all begins anew in an empty folder.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.common import Row, add_output_flag, publish
from benchmarks.loop_results import Watch, differences, torn
from benchmarks.processes import end, exit_when_terminated
from benchmarks.sandbox import CLOCK, PASSES, SCRIPTS, Sandbox, make_corpus, make_sandbox, running, warm_python, watch
from benchmarks.stops import STOPS, Stop, stop_twice, stop_with
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import run

KILLS_OF = {"features": 3, "train": 2, "test": 1, "merge": 2}  # at most, of each pass of a loop until it may end
AT_WORK = 5  # files change so many times, at most, before a kill that waits for this


@dataclass
class Tally:
    """What happened so far."""

    kills: Counter[str] = field(default_factory=Counter)  # by stage
    writing: Counter[str] = field(default_factory=Counter)  # those that came when a file had just changed
    torn: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)  # files that were torn or came out differently
    rounds: int = 0  # loops that were killed again and again and then ended

    @property
    def total(self) -> int:
        """All kills."""
        return self.kills.total()


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    began = time.monotonic()
    with TemporaryDirectory(prefix="kills-") as name, ExitStack() as stack:
        folder = Path(name)
        python = stack.enter_context(warm_python(folder)) if args.warm_start else sys.executable
        corpus = make_corpus(folder / "data")
        reference, victim = (make_sandbox(folder / name, corpus, python) for name in ("reference", "victim"))
        seconds = {name: done.seconds for name, done in watch(reference).items()}
        tally, rng = Tally(), np.random.default_rng(args.seed)
        while targets := plan(args.kills, tally, rng):
            kill_until_done(victim, reference, targets, seconds, tally, rng)
        stops = [stop_with(number, victim, reference) for number in STOPS] if args.signals else []
        stops += [stop_twice(victim)] if args.signals else []
    minutes = (time.monotonic() - began) / 60
    publish("Pulling the plug", facts(args, tally, minutes), rows(tally, stops), notes(tally, stops), args)
    return int(bool(tally.problems) or not all(stop.good for stop in stops))


def plan(kills: int, tally: Tally, rng: np.random.Generator) -> list[str]:
    """The passes of the next loop in which to kill it; none once there are enough kills, a sixth of them per stage."""
    wanted = [name for name in PASSES for _ in range(KILLS_OF[name.split()[0]])]
    if tally.total >= kills:
        return [name for name in wanted if tally.kills[name.split()[0]] < kills // 6]
    chosen = rng.permutation(len(wanted))[: kills - tally.total]
    return [wanted[i] for i in sorted(chosen)]


def kill_until_done(
    victim: Sandbox,
    reference: Sandbox,
    targets: list[str],
    seconds: dict[str, float],
    tally: Tally,
    rng: np.random.Generator,
) -> None:
    """Kill the loop in these of its passes, in this order, then let it end and compare."""
    victim.clear()
    for name in targets:
        writing = bool(rng.random() < 0.5)
        killed = kill_once(victim, name, seconds[name], writing, rng)
        if killed is None:  # it ended before
            continue
        tally.kills[killed] += 1
        tally.writing[killed] += writing
        problems = torn(victim, reference)
        tally.torn[killed] += len(problems)
        tally.problems += [f"after kill {tally.total}, of {killed}: {problem}" for problem in problems]
        print(f"kill {tally.total}: {killed}{' while it wrote' if writing else ''}", flush=True)
    victim.finish()
    tally.rounds += 1
    tally.problems += [f"at the end of round {tally.rounds}: {text}" for text in differences(victim, reference)]


def kill_once(box: Sandbox, name: str, seconds: float, writing: bool, rng: np.random.Generator) -> str | None:
    """Start the loop and kill it in the pass of that name, or in a later one; the stage that was hit, None if none."""
    loop = box.start()
    place = PASSES.index(name)
    stage = None
    try:
        while loop.poll() is None and ((at := running(loop.pid)) is None or PASSES.index(at[0]) < place):
            time.sleep(CLOCK)
        if writing:
            _wait_for_writes(loop, Watch(box), int(rng.integers(1, AT_WORK + 1)))
            time.sleep(rng.uniform(0, 0.01))
        else:
            time.sleep(rng.uniform(0, seconds))
        while loop.poll() is None and (at := running(loop.pid)) is None:  # between two passes, bash is at work
            time.sleep(0.001)
        stage = at[0].split()[0] if loop.poll() is None else None
    finally:
        end(loop.pid)
        loop.wait()
    return stage


def _wait_for_writes(loop, watch: Watch, changes: int) -> None:
    while loop.poll() is None and changes:
        changes -= watch.changed()
        time.sleep(0.001)


def facts(args: argparse.Namespace, tally: Tally, minutes: float) -> str:
    start = "scripts forked from a process that had imported torch" if args.warm_start else "scripts started afresh"
    return f"seed {args.seed}, {start}; n = {tally.total} kills, {minutes:.1f} minutes"


def rows(tally: Tally, stops: list[Stop]) -> list[Row]:
    """A line per stage, then one per signal that can be caught."""
    table = []
    for stage in SCRIPTS:
        what = f"{tally.kills[stage]} ({tally.writing[stage]})"
        table.append({"stage": stage, "SIGKILLs (of them while it wrote)": what, "torn files": str(tally.torn[stage])})
    total = f"{tally.total} ({tally.writing.total()})"
    table.append({"stage": "all", "SIGKILLs (of them while it wrote)": total, "torn files": str(tally.torn.total())})
    return table


def notes(tally: Tally, stops: list[Stop]) -> list[str]:
    """What the table does not tell."""
    identical = "no" if any(text.startswith("at the end") for text in tally.problems) else "yes"
    text = f"{tally.rounds} times the loop was then started once more and left in peace.  submission.csv, oof.csv, "
    text += f"logs, predictions, features and checkpoints the same as those of the undisturbed loop: {identical}."
    return [text, *(stop.text for stop in stops), *tally.problems]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/kills.py --kills 50 --seed 0 --output results.md")
    parser.add_argument("--kills", type=positive_int, default=50, help="at least, and a sixth of it in each stage")
    parser.add_argument("--seed", type=natural_int, default=0, help="of the moments")
    on_off = {"action": argparse.BooleanOptionalAction, "default": True}
    parser.add_argument("--signals", **on_off, help="SIGTERM and SIGINT too")
    parser.add_argument("--warm_start", **on_off, help="fork scripts from a process that has imported torch: faster")
    add_output_flag(parser)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
