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

from predicting.checkpoint import load_checkpoint
from tests.training import processes_worker
from training.processes import ALONE, join_processes
from utils.errors import UserError

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]


@pytest.fixture
def alone(workplace, monkeypatch) -> dict:
    monkeypatch.chdir(workplace)
    processes_worker.main("alone.pt")
    return torch.load("alone.pt", weights_only=True)


@pytest.mark.parametrize("size", [2, 3])
def test_two_and_three_processes_take_the_steps_that_one_takes(alone, process, workplace, request, size):
    root = request.config.rootpath
    worker = Path(processes_worker.__file__)
    done = process(workplace, *TORCHRUN, size, worker, "team.pt", PYTHONPATH=str(root), OMP_NUM_THREADS="1")
    assert done.code == 0, done.err
    together = torch.load(workplace / "team.pt", weights_only=True)
    assert (together["size"], alone["size"]) == (size, 1)
    assert together["stop"] == 7
    assert together["aligned"]
    assert together["meetings"] == 2  # once in each of two steps of two batches
    torch.testing.assert_close(together["losses"], alone["losses"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together["scores"], alone["scores"], rtol=1e-4, atol=1e-5)
    for name, weights in alone["model"].items():
        torch.testing.assert_close(together["model"][name], weights, rtol=1e-4, atol=1e-5)


def test_without_torchrun_nothing_is_shared_out(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    team = join_processes(5, torch.device("cpu"))
    batch = torch.arange(5.0)
    assert team is ALONE
    assert torch.equal(team.share(batch), batch)
    assert team.whole(batch) is batch


def test_processes_part_in_peace_at_the_end(monkeypatch):
    done = []
    for name in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(f"torch.distributed.{name}", lambda name=name: done.append(name))
    assert ALONE.leave(3) == 3
    assert done == []
    assert type(ALONE)(0, 2).leave(3) == 3
    assert done == ["barrier", "destroy_process_group"]


GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"


@pytest.mark.parametrize(
    ("size", "error", "raised"),
    [
        (1, RuntimeError("shape mismatch"), RuntimeError),
        (2, RuntimeError("shape mismatch"), RuntimeError),
        (2, torch.distributed.DistBackendError("communicator was aborted"), UserError),
        (2, RuntimeError(GLOO), UserError),
    ],
)
def test_a_lost_process_is_named_and_any_other_error_left_alone(size, error, raised):
    line = "another process" if raised is UserError else "shape"
    with pytest.raises(raised, match=line), type(ALONE)(size - 1, size).watched():
        raise error


@pytest.fixture
def launch(workplace, tiny_flags, request):
    """Start train.py on two processes."""

    def start(*flags: object) -> subprocess.Popen:
        script = [str(request.config.rootpath / "train.py"), *tiny_flags]
        return subprocess.Popen(
            [*TORCHRUN, "2", "--max_restarts=1", *script, *map(str, flags)],
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
    assert not list(workplace.rglob("*.pth"))
