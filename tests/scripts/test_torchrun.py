"""train.py under torchrun: one set of files, and a process that dies costs nothing but time."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from predicting.checkpoint import load_checkpoint

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"


@pytest.fixture
def launch(workplace, tiny_flags, request):
    """Start train.py on two processes."""

    def start(*flags: object) -> subprocess.Popen:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        script = [str(request.config.rootpath / "train.py"), *tiny_flags]
        return subprocess.Popen(
            [*torchrun, "--max_restarts=1", *script, *map(str, flags)],
            cwd=workplace,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def workers(parent: int) -> list[int]:
    return [int(pid) for pid in open(f"/proc/{parent}/task/{parent}/children").read().split()]


@pytest.mark.skipif(not os.path.exists("/proc"), reason="finds the processes in /proc")
def test_a_process_that_dies_takes_the_others_down_and_the_training_goes_on(launch, workplace, script):
    started = launch("--n_iter", 40, "--eval_freq", 20, "--save_freq", 1)
    last = workplace / "checkpoints" / STEM.format("last")
    deadline = time.monotonic() + 200
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(workers(started.pid)[1], signal.SIGKILL)
    out, _ = started.communicate(timeout=250)
    assert started.returncode == 0, out
    assert out.count("resuming after step") == 1
    assert out.count("step 40  validation") == 1
    log = (workplace / "checkpoints" / "mobilenet_v3_small_tiny_32x64_16000_0-2_log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.splitlines()] == [20, 40]
    assert load_checkpoint(last)["step"] == 40
    alone = script(workplace, "train.py", "--resume", last)  # a single process takes it from there
    assert alone.code == 0, alone.err


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(launch, workplace):
    out, _ = launch("--batch_size", 5).communicate(timeout=250)
    assert "--batch_size 5 cannot be shared out evenly among 2 processes" in out
    assert not (workplace / "checkpoints").exists()
