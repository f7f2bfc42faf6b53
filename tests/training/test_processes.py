"""Several processes train as one does, with one set of files; and one that dies costs nothing but time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from predicting.checkpoint import load_checkpoint
from tests.training import processes_worker
from training.processes import join_processes
from utils.errors import MisuseError

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]


@pytest.fixture
def alone(workplace, monkeypatch) -> dict:
    monkeypatch.chdir(workplace)
    processes_worker.main("alone.pt")
    return torch.load("alone.pt", weights_only=True)


def test_three_processes_take_the_steps_that_one_takes(alone, process, workplace, request):
    root = request.config.rootpath
    worker = Path(processes_worker.__file__)
    done = process(workplace, *TORCHRUN, 3, worker, "team.pt", PYTHONPATH=str(root), OMP_NUM_THREADS="1")
    assert done.code == 0, done.err
    together = torch.load(workplace / "team.pt", weights_only=True)
    assert (together["size"], alone["size"]) == (3, 1)
    assert together["stop"] == 7
    assert together["aligned"]
    assert together["meetings"] == 2  # once in each of two steps of two batches
    torch.testing.assert_close(together["losses"], alone["losses"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together["scores"], alone["scores"], rtol=1e-4, atol=1e-5)
    for name, weights in alone["model"].items():
        torch.testing.assert_close(together["model"][name], weights, rtol=1e-4, atol=1e-5)


def workers(parent: int) -> list[int]:
    return [int(pid) for pid in open(f"/proc/{parent}/task/{parent}/children").read().split()]


@pytest.mark.skipif(not os.path.exists("/proc"), reason="finds the processes in /proc")
def test_a_process_that_dies_takes_the_others_down_and_the_training_goes_on(
    workplace, script, tiny_flags, request, tmp_path
):
    command = [*TORCHRUN, "2", "--max_restarts=1", str(request.config.rootpath / "train.py"), *tiny_flags]
    with open(tmp_path / "out", "w") as out:
        started = subprocess.Popen(
            [*command, "--n_iter", "40", "--eval_freq", "20", "--save_freq", "1"],
            cwd=workplace, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=out, stderr=out,
        )  # fmt: skip
    last = workplace / "checkpoints" / STEM.format("last")
    deadline = time.monotonic() + 200
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(workers(started.pid)[1], signal.SIGKILL)
    assert started.wait(timeout=250) == 0
    out = (tmp_path / "out").read_text()
    assert out.count("resuming after step") == 1
    assert out.count("step 40  validation") == 1
    log = (workplace / "checkpoints" / "mobilenet_v3_small_tiny_32x64_16000_0-2_log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.splitlines()] == [20, 40]
    assert load_checkpoint(last)["step"] == 40
    alone = script(workplace, "train.py", "--resume", last)  # a single process takes it from there
    assert alone.code == 0, alone.err


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(dist, "rendezvous", lambda _: iter([(dist.HashStore(), 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    with pytest.raises(MisuseError, match="--batch_size 5 cannot be shared out evenly among 2"):
        join_processes(5, torch.device("cpu"))
