"""Ways to take the same step: with a scaled loss, compiled, with algorithms that always give the same bits."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from losses import get_loss
from models.cbam import CBAM
from predicting.checkpoint import load_checkpoint
from training.schedule import get_optimizer

CPU = torch.device("cpu")
LAST = "mobilenet_v3_small_tiny_last_32x64_16000_0-2_model.pth"


class Noise:
    """Stands in for a fold's batches: noise, by number."""

    def __call__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(number)
        return torch.rand(4, 1, 16, 24, generator=generator), torch.eye(4)


def small_network() -> nn.Module:
    """One layer of each of our kinds."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(), nn.MaxPool2d(2), CBAM(16)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).train()


@pytest.fixture
def trained(module_of, make_training):
    """Losses of four steps of train.py, and the network after them."""

    def call(model: nn.Module, precision: torch.dtype = torch.float32) -> tuple[torch.Tensor, nn.Module]:
        training = make_training(precision=precision, arch="mobilenet_v3_small", n_iter=4, iter_size=2)
        parts = {"batches": Noise(), "model": model, "network": model}
        setup = replace(training.setup, precision=torch.float32)  # but for the loss's scale
        training = replace(training, setup=setup, **parts, optimizer=get_optimizer("sgd", model, 0.1, 0.9, 1e-4))
        return torch.stack([module_of("train.py").train_step(training, step) for step in range(4)]), model

    return call


def test_a_scaled_loss_takes_the_steps_of_an_unscaled_one(trained):
    one, other = trained(small_network(), torch.float16), trained(small_network())
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-5)
    for weights, expected in zip(one[1].parameters(), other[1].parameters(), strict=True):
        torch.testing.assert_close(weights, expected, rtol=1e-3, atol=1e-4)


def test_compile_as_a_flag_gives_the_same_losses(train, workplace, monkeypatch):
    """By a backend that traces and generates no code, which would take minutes."""
    compiled, compile_module = [], nn.Module.compile

    def compile_quickly(model: nn.Module, mode: str | None) -> None:
        assert mode is None  # CUDA graphs are for GPUs
        compiled.append(model)
        compile_module(model, backend="eager")

    torch._dynamo.reset()
    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    losses = []
    for flags in (["--compile"], ["--no-compile"]):
        train("--n_iter", 2, *flags, "--checkpoint_dir", flags[0][2:]).ok()
        losses.append(load_checkpoint(workplace / flags[0][2:] / LAST)["losses"])
    assert len(compiled) == 1
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_a_step_averages_the_gradients_of_iter_size_batches(module_of, make_training):
    noise, criterion = Noise(), get_loss("bce+lovasz")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16 * 24, 4))
    before = model[1].weight.detach().clone()
    losses = [criterion(model(inputs), targets) for inputs, targets in (noise(2), noise(3))]
    gradient = torch.autograd.grad(sum(losses) / 2, model[1].weight)[0]
    training = make_training(arch="mobilenet_v3_small", iter_size=2, n_iter=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0)
    training = replace(training, batches=noise, network=model, model=model, optimizer=optimizer)
    assert module_of("train.py").train_step(training, 1).item() == pytest.approx(sum(losses).item() / 2)
    torch.testing.assert_close(model[1].weight, before - 0.1 * gradient)  # the rate is the schedule's, not 9
    assert model[1].weight.grad is None


@pytest.fixture
def any_algorithm_again():
    yield
    torch.use_deterministic_algorithms(False)


def test_a_deterministic_run_goes_through(train, any_algorithm_again):
    train("--n_iter", 1, "--use_mix_up", "--use_spec_aug", "--deterministic").ok()
    assert torch.are_deterministic_algorithms_enabled()


def test_an_operator_without_a_deterministic_algorithm_is_named_in_one_line(train, monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("x_cuda does not have a deterministic implementation, but you set 'torch.use_...")

    monkeypatch.setattr(torch.amp.GradScaler, "scale", refuse)
    assert "--deterministic: x_cuda does not have a deterministic implementation" in train("--n_iter", 1).refused()


class Overflowing(torch.amp.GradScaler):
    """Scales as on a GPU, and some of its steps overflow."""

    overflows: ClassVar[set[int]] = set()

    def __init__(self, device: str, init_scale: float, enabled: bool) -> None:
        super().__init__(device, init_scale=init_scale, enabled=True)
        self.calls = 0

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().scale(loss * torch.inf if self.calls in self.overflows else loss)


@pytest.fixture
def overflowing(monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", Overflowing)
    return lambda *calls: monkeypatch.setattr(Overflowing, "overflows", set(calls))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_that_overflow_are_skipped_counted_logged_and_known_on_resume(train, workplace, overflowing, optimizer):
    """The very first one overflows, as most first ones do, and it leaves the optimizer as it was."""
    overflowing(1)
    done = train("--n_iter", 3, "--optimizer", optimizer).ok()
    assert "left  1 steps skipped" in done.out
    state = load_checkpoint(workplace / "checkpoints" / LAST)
    assert (state["scaler"]["scale"], state["scaler"]["_growth_tracker"], state["skipped_steps"]) == (2.0**15, 2, 1)
    assert state["log"][-1]["skipped_steps"] == 1
    assert all(weight.isfinite().all() for weight in state["model"].values())
    path = workplace / "checkpoints" / LAST
    torch.save(state | {"step": 2, "log": [], "best_score": -1.0, "best_step": 0}, path)
    overflowing()
    resumed = train("--resume", path)  # with the scale and the count
    assert resumed.code == 0, resumed.err
    state = load_checkpoint(path)
    assert (state["scaler"]["scale"], state["scaler"]["_growth_tracker"], state["skipped_steps"]) == (2.0**15, 3, 1)


def test_gradients_that_overflow_at_any_scale_are_a_failure(train, overflowing):
    overflowing(*range(40))
    assert "at any scale" in train("--n_iter", 40, "--eval_freq", 0, "--print_train_freq", 1).refused()
