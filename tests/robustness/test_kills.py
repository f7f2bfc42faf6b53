"""Pull the plug: SIGKILL at random moments, after which every file is whole and the run ends as one left in peace."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from tests.conftest import ROOT

SMALL = {"features": 1, "train": 1}  # kills
FULL, ROUNDS = {"features": 2, "train": 4, "test": 2, "merge": 1}, 6  # each round from nothing
AT_WORK = 6  # files change so many times, at most, before a kill
PATIENCE = 300  # seconds


def snapshot(folder: Path) -> set[tuple[str, int, int]]:
    """All files with their sizes and times."""
    seen = set()
    for path in (os.path.join(top, name) for top, _, names in os.walk(folder) for name in names):
        with suppress(FileNotFoundError):  # renamed meanwhile
            seen.add((path, os.stat(path).st_size, os.stat(path).st_mtime_ns))
    return seen


def kill_once(victim, stage: str, rng: np.random.Generator) -> bool:
    """Start a stage in a process of its own and kill it while it writes; False if it ended before."""
    script, *flags = victim.stages[stage]
    changes, delay = int(rng.integers(1, AT_WORK + 1)), rng.uniform(0, 0.05)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, ROOT / script, *flags], cwd=victim.folder, **silent)
    try:
        before, until = snapshot(victim.folder), time.monotonic() + PATIENCE
        while changes and process.poll() is None and time.monotonic() < until:
            now = snapshot(victim.folder)
            changes -= now != before
            before = now
            time.sleep(0.002)
        time.sleep(delay)
    finally:
        process.kill()
    return process.wait() == -signal.SIGKILL


def test_killed_at_random_moments_it_ends_with_the_same_files(peace, new_victim, size, tell):
    rng, kills, problems = np.random.default_rng(0), Counter(), []
    for _ in range(size(1, ROUNDS)):
        victim = new_victim()
        for stage in victim.stages:
            for _ in range(size(SMALL, FULL).get(stage, 0)):
                kills[stage] += kill_once(victim, stage, rng)
                problems += [f"{stage}, killed: {text}" for text in victim.torn(peace)]
            done = victim.run(stage)
            assert done.code == 0, done.err
        problems += [f"in the end: {name} differs" for name in victim.differences(peace)]
    assert problems == []
    assert kills.total() >= size(1, 30)  # the others came when a stage had just ended
    facts = f"{kills.total()} SIGKILLs while a stage wrote; afterwards all files were those of a run left in peace"
    tell("Pulling the plug", facts, ["stage", "SIGKILLs", "torn files"], [(*each, 0) for each in kills.items()])
