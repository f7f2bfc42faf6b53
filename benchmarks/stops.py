"""Signals that a training catches: it saves, says how to go on, and goes on exactly; at the second it ends at once."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

from benchmarks.loop_results import differences
from benchmarks.processes import end, wait_for
from benchmarks.sandbox import FLAGS, Sandbox, running

STOPS = (signal.SIGTERM, signal.SIGINT)
LONG_STEP = ["--iter_size", "2000"]  # forward passes: a minute
PATIENCE = 600  # seconds


@dataclass(frozen=True)
class Stop:
    """What came of a signal, in words, and whether it is what should."""

    text: str
    good: bool


def stop_with(number: signal.Signals, box: Sandbox, reference: Sandbox) -> Stop:
    """Send the signal to the loop while it trains, start the loop again, compare."""
    box.clear()
    loop = box.start()
    try:
        wait_for(lambda: (at := running(loop.pid)) is not None and at[0] == "train 0", PATIENCE)
        wait_for(lambda: any(box.folder.glob("checkpoints/*_last_*.pth")), PATIENCE)  # so it is at work
        end(loop.pid, number)
        loop.wait()
    finally:
        end(loop.pid)
    said = [line for line in box.output.read_text().splitlines() if "to go on: python train.py --resume" in line]
    box.finish()
    found = differences(box, reference)
    text = f"{number.name} while training: {said[0] if said else 'no message'}.  Started again, the loop ended with "
    text += f"the same files: {'no: ' + found[0] if found else 'yes'}."
    return Stop(text, bool(said) and not found)


def stop_twice(box: Sandbox) -> Stop:
    """Send SIGTERM twice within one long step of a training."""
    box.clear()
    command = [*box.python.split(), "train.py", "--dataset", "tiny", "--num_folds", "2", *FLAGS, *LONG_STEP]
    subprocess.run(  # the features
        [*box.python.split(), "loaders/freesound_loader.py", "--dataset", "tiny", *FLAGS[2:6]],
        cwd=box.folder, env=box.environ, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with open(box.output, "wb") as log:
        training = subprocess.Popen(
            command, cwd=box.folder, env=box.environ, stdout=log, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        wait_for(lambda: "training clips" in box.output.read_text(), PATIENCE)
        time.sleep(2)  # into the first step
        os.killpg(training.pid, signal.SIGTERM)
        wait_for(lambda: "once more to exit at once" in box.output.read_text(), PATIENCE)
        os.killpg(training.pid, signal.SIGTERM)
        began = time.monotonic()
        training.wait(timeout=60)
        seconds = time.monotonic() - began
    finally:
        end(training.pid)
    good = seconds < 2 and abs(training.returncode) in (signal.SIGTERM, 128 + signal.SIGTERM)
    return Stop(f"SIGTERM twice within a step: ended {seconds:.1f} s after the second.", good)
