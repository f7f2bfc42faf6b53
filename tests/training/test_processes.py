"""Several processes train as one does: the same losses, weights and scores."""

import sys
from pathlib import Path

import pytest
import torch

from tests.training import processes_worker
from training.processes import ALONE, join_processes
from utils.errors import UserError

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
    monkeypatch.setattr("training.processes.exit_at_once", done.append)
    assert ALONE.leave(3) == 3
    assert done == []
    type(ALONE)(0, 2).leave(0)
    assert done == ["barrier", "destroy_process_group", 0]


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
