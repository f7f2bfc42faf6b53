"""Recording a network's training pass: what stays as it was; and on a GPU, whether the same comes out."""

import argparse
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from training import graphs
from training.processes import Processes
from utils.errors import UserError

SHAPE = (4, 1, 8, 8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 3))


@pytest.fixture
def recorder(monkeypatch):
    """Stands in for a GPU; the recording runs the network once, as the real one does to warm up, or fails."""
    state = {"generator": torch.arange(3), "error": None}

    def make_graphed_callables(engine: nn.Module, inputs: tuple[torch.Tensor]) -> nn.Module:
        if state["error"]:
            raise state["error"]
        engine(*inputs)
        state["generator"] = torch.zeros(3)
        engine.forward = lambda _: "replayed"
        return engine

    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: state["generator"].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda value, _: state.update(generator=value))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make_graphed_callables)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    return state


def test_recording_leaves_the_network_its_forward_its_statistics_and_the_random_numbers(recorder):
    model, fresh = network(), network()
    engine = graphs.record(model, SHAPE, torch.device("cpu"), torch.float32)
    seen = []
    engine.register_forward_pre_hook(lambda *_: seen.append(1))  # as TensorBoard's
    assert engine(torch.rand(SHAPE)) == "replayed"
    assert seen == [1]
    assert model(torch.rand(SHAPE)).shape == (4, 3)
    model = network()
    graphs.record(model, SHAPE, torch.device("cpu"), torch.float32)
    for name, value in fresh.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert recorder["generator"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("error", "raised", "line"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), UserError, "does not.*--determ"),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "out of memory"),
    ],
)
def test_where_recording_fails_a_line_names_a_way_out(recorder, error, raised, line):
    recorder["error"] = error
    with pytest.raises(raised, match=line):
        graphs.record(network(), SHAPE, torch.device("cpu"), torch.float32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_same_gradients_come_out():
    device = torch.device("cuda")
    plain, model = (network().to(device) for _ in range(2))
    plain[3].p = model[3].p = 0.0
    engine = graphs.record(model, SHAPE, device, torch.float32)
    for _ in range(3):
        inputs = torch.rand(SHAPE, device=device)
        for one in (plain, engine):
            one.zero_grad()
            one(inputs).square().sum().backward()
        for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)


@pytest.mark.parametrize(
    ("device", "iter_size", "alone", "deterministic", "recorded"),
    [("cuda", 1, True, False, True), ("cuda", 2, True, False, False), ("cuda", 1, False, False, False),
     ("cuda", 1, True, True, False), ("cpu", 1, True, False, False)],
)  # fmt: skip
def test_what_is_recorded_and_what_is_compiled_replays_graphs_where_it_can(
    monkeypatch, device, iter_size, alone, deterministic, recorded
):
    modes, model = [], network()
    monkeypatch.setattr(graphs, "record", lambda *_: "recorded")
    monkeypatch.setattr(model, "compile", lambda mode: modes.append(mode))
    flags = {"iter_size": iter_size, "deterministic": deterministic, "batch_size": 4, "img_rows": 8, "img_cols": 8}
    how = argparse.Namespace(**flags), torch.device(device), torch.float32, Processes(0, 1 if alone else 2)
    assert graphs.quicken(model, graphs.Setup(*how)) == ("recorded" if recorded else model)
    assert graphs.quicken(model, graphs.Setup(*how, compiled=True)) is model
    assert modes == ["reduce-overhead" if recorded else None]


CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LONG = graphs.COMPILE_PAYS


@pytest.mark.parametrize(
    ("asked", "device", "n_iter", "deterministic", "lacks", "compiled"),
    [(None, CUDA, LONG, False, "", True), (None, CUDA, LONG - 1, False, "", False),
     (None, CPU, LONG, False, "", False), (None, CUDA, LONG, True, "", False),
     (True, CPU, 1, True, "", True), (False, CUDA, LONG, False, "", False),
     (None, CUDA, LONG, False, "Triton", False), (None, CUDA, LONG, False, "C compiler", False),
     (None, CUDA, LONG, False, "GPU that Triton knows", False)],
)  # fmt: skip
def test_long_runs_on_a_gpu_are_compiled_unless_something_else_is_asked_for_or_lacks(
    monkeypatch, asked, device, n_iter, deterministic, lacks, compiled
):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if lacks == "Triton" else name)
    monkeypatch.setattr(graphs.shutil, "which", lambda name: None if lacks == "C compiler" else name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 0) if "GPU" in lacks else (7, 0))
    assert graphs.pick_compile(asked, device, n_iter, deterministic) is compiled
