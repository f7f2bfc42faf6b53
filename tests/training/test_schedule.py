"""The learning rate as a function of the step, which weights decay, and which optimizer a name means."""

import math

import pytest
import torch
from torch import nn

from models import get_model
from training.schedule import fine_tuning_from, get_optimizer, learning_rate, parameter_groups


def rates(n_iter: int, num_cycles: int = 0) -> list[float]:
    return [learning_rate(step, n_iter, 0.1, num_cycles) for step in range(n_iter)]


def test_the_step_that_fine_tuning_begins_with():
    assert [fine_tuning_from(10, share) for share in (0.0, 0.25, 0.3, 1.0)] == [10, 8, 7, 0]


@pytest.mark.parametrize("num_cycles", [0, 1, 3])
def test_warm_up_is_linear_from_a_tenth_over_the_first_twentieth(num_cycles):
    values = rates(1000, num_cycles)
    assert values[0] == pytest.approx(0.01)
    assert values[25] == pytest.approx((0.01 + 0.1) / 2)
    assert values[50] == pytest.approx(0.1)
    assert values[:51] == sorted(values[:51])


def test_the_seeds_40000_steps_drop_where_they_should():
    values = [learning_rate(step, 40000, 0.1) for step in (1999, 2000, 11999, 12000, 24000, 36000, 39999)]
    assert values == pytest.approx([0.1 * (0.1 + 0.9 * 1999 / 2000), 0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])


@pytest.mark.parametrize("num_cycles", [1, 2, 5])
def test_each_cycle_falls_from_the_base_rate_to_nothing_along_a_cosine(num_cycles):
    n, warm_up = 1000, 50
    values = rates(n, num_cycles)[warm_up:]
    period = len(values) // num_cycles
    for cycle in range(num_cycles):
        part = values[cycle * period : (cycle + 1) * period]
        expected = [0.05 * (1 + math.cos(math.pi * i / period)) for i in range(period)]
        assert part == pytest.approx(expected, abs=1e-9)


def test_a_run_of_a_few_steps_has_positive_rates_up_to_the_base():
    for n_iter in (1, 2, 3, 9, 10, 11):
        for num_cycles in (0, 1, 4):
            assert all(0 < rate <= 0.1 for rate in rates(n_iter, num_cycles))


def test_biases_and_norms_do_not_decay():
    model = get_model("resnet18", 3, use_cbam=True)
    decaying, free = parameter_groups(model, 0.5)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    names = {id(weights): name for name, weights in model.named_parameters()}
    assert all(names[id(weights)].endswith("weight") and weights.ndim > 1 for weights in decaying["params"])
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    expected = {id(p) for norm in norms for p in norm.parameters()}
    expected |= {id(p) for name, p in model.named_parameters() if name.endswith("bias")}
    assert {id(weights) for weights in free["params"]} == expected
    assert len(decaying["params"]) + len(free["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_an_optimizer_has_the_settings_asked_for(name, kind):
    optimizer = get_optimizer(name, nn.Linear(3, 2), l_rate=0.3, momentum=0.8, weight_decay=0.2)
    assert type(optimizer) is kind
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.3, 0.2), (0.3, 0.0)]
    assert all(group.get("momentum", group.get("betas", [0])[0]) == 0.8 for group in optimizer.param_groups)
