"""The scale of a loss in fp16: steps that overflow are skipped and counted, and leave nothing behind."""

import pytest
import torch

from training.scaling import LossScaler
from training.schedule import get_optimizer
from utils.errors import UserError

CPU = torch.device("cpu")


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def take_step(net: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: LossScaler, factor: float) -> bool:
    """One step whose gradients are `factor` large; whether its loss is to be believed."""
    scaler.scale(net(torch.ones(1, 3)).sum() * factor).backward()
    believed = scaler.unscale(optimizer)
    scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return bool(believed)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_step_that_overflows_changes_nothing_and_is_counted(name):
    scaled, plain = model(), model()
    optimizers = [get_optimizer(name, net, 0.1, 0.9, 0.01) for net in (scaled, plain)]
    fp16, fp32 = LossScaler(torch.float16, CPU), LossScaler(torch.float32, CPU)
    for factor in (torch.inf, 1.0, torch.nan, 2.0, 3.0):  # the very first one overflows, as most first ones do
        before = scaled.weight.detach().clone()
        assert take_step(scaled, optimizers[0], fp16, factor)
        if torch.tensor(factor).isfinite():
            take_step(plain, optimizers[1], fp32, factor)
        else:
            assert torch.equal(scaled.weight, before)
    assert fp16.check() == 2
    assert fp16.state() == {"scale": 2.0**14, "growth": 2, "skipped": 2}
    torch.testing.assert_close(scaled.weight, plain.weight)


def test_without_fp16_a_gradient_that_is_not_finite_is_no_matter_of_scale():
    net, scaler = model(), LossScaler(torch.float32, CPU)
    optimizer = get_optimizer("sgd", net, 0.1, 0.9, 0.0)
    assert take_step(net, optimizer, scaler, 1.0)
    assert not take_step(net, optimizer, scaler, torch.inf)
    assert (scaler.state(), scaler.check()) == ({}, 0)


def test_a_restored_scale_goes_on_where_it_was():
    first, second = LossScaler(torch.float16, CPU), LossScaler(torch.float16, CPU)
    net = model()
    optimizer = get_optimizer("sgd", net, 0.1, 0.9, 0.0)
    for factor in (torch.inf, 1.0):
        take_step(net, optimizer, first, factor)
    second.restore(first.state())
    assert second.state() == first.state() == {"scale": 2.0**15, "growth": 1, "skipped": 1}
    assert second.scale(torch.ones(())).item() == 2.0**15


def test_a_run_of_another_precision_leaves_no_scale_and_takes_none():
    fp16, fp32 = LossScaler(torch.float16, CPU), LossScaler(torch.bfloat16, CPU)
    fp16.restore({})
    fp32.restore({"scale": 8.0, "growth": 1, "skipped": 1})
    assert (fp16.state()["scale"], fp32.state()) == (2.0**16, {})


def test_gradients_that_overflow_at_any_scale_are_a_failure():
    scaler = LossScaler(torch.float16, CPU)
    scaler.restore({"scale": 2.0**-11, "growth": 0, "skipped": 27})
    with pytest.raises(UserError, match="at any scale"):
        scaler.check()
