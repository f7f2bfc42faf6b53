"""Pull the plug: kill the loop at random moments of every stage, start it again, and compare with one left in peace.

A sandbox (a copy of the repository beside 84 clips, 2 folds of 9 steps) runs the loop undisturbed.  In another one it
is started and its whole process group is killed with SIGKILL, half of the times at any moment of a stage, half of the
times just when it writes.  After every kill all files under their final names must be whole; after some 15 kills the
loop is started once more, must end with the same files, bit for bit, and all begins anew in an empty folder.  At last
SIGTERM and SIGINT, which a training catches: it saves, says how to go on, and goes on exactly; a second one ends it.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository's root

import argparse
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.common import Row
from tests.robustness.loop_results import Watch, differences, torn
from tests.robustness.processes import end, wait_for
from tests.robustness.report import attack_parser, exit_when_terminated, report
from tests.robustness.sandbox import CLOCK, FLAGS, FOLDS, PASSES, SCRIPTS, Pass, Sandbox, running, undisturbed
from utils.cli import positive_int
from utils.errors import run

KILLS_OF = {"features": 3, "train": 2, "test": 2, "merge": 2}  # at most, of each pass of a loop until it may end
AT_WORK = 5  # files change so many times, at most, before a kill that waits for this
LONG_STEP = ["--iter_size", "2000", "--checkpoint_dir", "long"]  # forward passes: a minute
PATIENCE = 600  # seconds


@dataclass
class Tally:
    """What happened so far."""

    kills: Counter[str] = field(default_factory=Counter)  # by stage
    writing: Counter[str] = field(default_factory=Counter)  # those that came when a file had just changed
    torn: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)  # files that were torn or came out differently
    rounds: int = 0  # loops that were killed again and again and then ended


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    began, tally, rng = time.monotonic(), Tally(), np.random.default_rng(args.seed)
    with TemporaryDirectory(prefix="kills-") as name, undisturbed(Path(name)) as (reference, passes):
        victim = reference.copy(Path(name) / "victim")
        while targets := plan(args.kills, tally.kills, rng):
            kill_until_done(victim, reference, targets, passes, tally, rng)
        stops = [stop_with(number, victim, reference, tally) for number in (signal.SIGTERM, signal.SIGINT)]
        stops.append(stop_twice(victim, tally))
    minutes = (time.monotonic() - began) / 60
    facts = f"scripts forked from a process that had imported torch; n = {tally.kills.total()} kills, {minutes:.1f} min"
    peace = (
        f"{tally.rounds} times the loop was then started once more and left in peace; all that it makes was compared"
    )
    peace += " with what the undisturbed loop had made."
    return report("Pulling the plug", facts, rows(tally), [peace, *stops], tally.problems, args)


def plan(kills: int, done: Counter[str], rng: np.random.Generator) -> list[str]:
    """The passes of the next loop in which to kill it; none once there are enough kills, a sixth of them per stage."""
    wanted = [name for name in PASSES for _ in range(KILLS_OF[name.split()[0]])]
    if done.total() >= kills:
        return [name for name in wanted if done[name.split()[0]] < kills // 6]
    chosen = rng.permutation(len(wanted))[: kills - done.total()]
    return [wanted[i] for i in sorted(chosen)]


def kill_until_done(
    victim: Sandbox,
    reference: Sandbox,
    targets: list[str],
    passes: dict[str, Pass],
    tally: Tally,
    rng: np.random.Generator,
) -> None:
    """From nothing, kill the loop in these of its passes, in this order, then let it end and compare."""
    victim.clear()
    for name in targets:
        writing = bool(rng.random() < 0.5)
        killed = kill_once(victim, name, passes[name].seconds, writing, rng)
        if killed is None:  # it ended before
            continue
        problems = torn(victim, reference)
        tally.kills[killed] += 1
        tally.writing[killed] += writing
        tally.torn[killed] += len(problems)
        number = tally.kills.total()
        tally.problems += [f"after kill {number}, of {killed}: {problem}" for problem in problems]
        print(f"kill {number}: {killed}{' while it wrote' if writing else ''}", flush=True)
    victim.finish()
    tally.rounds += 1
    tally.problems += [f"at the end of round {tally.rounds}: {text}" for text in differences(victim, reference)]


def kill_once(box: Sandbox, name: str, seconds: float, writing: bool, rng: np.random.Generator) -> str | None:
    """Start the loop and kill it in the pass of that name, or in a later one; the stage that was hit, None if none."""
    loop = box.start()
    place = PASSES.index(name)
    try:
        while loop.poll() is None and ((at := running(loop.pid)) is None or PASSES.index(at[0]) < place):
            time.sleep(CLOCK)
        if writing:
            watch, changes = Watch(box), int(rng.integers(1, AT_WORK + 1))
            while loop.poll() is None and changes:
                changes -= watch.changed()
                time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01 if writing else seconds))
        while loop.poll() is None and (at := running(loop.pid)) is None:  # between two passes, bash is at work
            time.sleep(0.001)
        return at[0].split()[0] if loop.poll() is None else None
    finally:
        end(loop.pid)
        loop.wait()


def stop_with(number: signal.Signals, box: Sandbox, reference: Sandbox, tally: Tally) -> str:
    """Send the signal to a finished loop while it trains fold 0 anew, start it again, compare; what came of it."""
    box.undo("train 0")
    loop = box.start()
    try:
        wait_for(lambda: any(box.folder.glob("checkpoints/*_last_*_0-*.pth")), PATIENCE)  # so it is at work
        end(loop.pid, number)
        loop.wait()
    finally:
        end(loop.pid)
    said = [line for line in box.output.read_text().splitlines() if "to go on: python train.py --resume" in line]
    box.finish()
    found = differences(box, reference) + ([] if said else ["no message says how to go on"])
    tally.problems += [f"{number.name}: {text}" for text in found]
    same = "other" if found else "the same"
    return f"{number.name} while training: {said[0] if said else None}.  Started again, it ended with {same} files."


def stop_twice(box: Sandbox, tally: Tally) -> str:
    """Send SIGTERM twice within one long step of a training; what came of it."""
    folds = ["--dataset", "tiny", "--num_folds", str(FOLDS)]
    training = box.start(box.python, "train.py", *folds, *FLAGS, *LONG_STEP)
    try:
        wait_for(lambda: "training clips" in box.output.read_text(), PATIENCE)
        time.sleep(1)  # into the first step
        os.killpg(training.pid, signal.SIGTERM)
        wait_for(lambda: "once more to exit at once" in box.output.read_text(), PATIENCE)
        os.killpg(training.pid, signal.SIGTERM)
        began = time.monotonic()
        training.wait(timeout=60)
        seconds = time.monotonic() - began
    finally:
        end(training.pid)
    if seconds >= 2 or abs(training.returncode) not in (signal.SIGTERM, 128 + signal.SIGTERM):
        tally.problems.append(f"SIGTERM twice: exit code {training.returncode} after {seconds:.1f} s")
    return f"SIGTERM twice within a step: ended {seconds:.1f} s after the second."


def rows(tally: Tally) -> list[Row]:
    """A line per stage, and their sum."""
    counts = [(stage, tally.kills[stage], tally.writing[stage], tally.torn[stage]) for stage in SCRIPTS]
    counts.append(("all", tally.kills.total(), tally.writing.total(), tally.torn.total()))
    columns = ("stage", "SIGKILLs", "of them while it wrote", "torn files")
    return [dict(zip(columns, map(str, count), strict=True)) for count in counts]


def parse_args() -> argparse.Namespace:
    parser = attack_parser(__doc__, "kills.py --kills 50 --seed 0")
    parser.add_argument("--kills", type=positive_int, default=50, help="at least, and a sixth of it in each stage")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
