"""Averaged weights: what they are, and that they leave the trained ones alone."""

import pytest
import torch
from torch import nn

from utils.average import AveragedModel


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_it_is_the_moving_average_of_weights_and_norm_statistics():
    model = network()
    averaged = AveragedModel(model, 0.5)
    expected = {name: value.clone().double() for name, value in model.state_dict().items()}
    for step in range(20):
        with torch.no_grad():
            for value in model.state_dict().values():
                value += 1 if value.is_floating_point() else 0
        averaged.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in averaged.model.state_dict().items():
        assert value.double().numpy() == pytest.approx(expected[name].numpy(), abs=1e-5)


def test_it_shares_no_memory_with_the_network_and_needs_no_gradient():
    model = network()
    averaged = AveragedModel(model, 0.9)
    before = [value.clone() for value in model.state_dict().values()]
    for value in averaged.model.state_dict().values():
        value.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert not any(p.requires_grad for p in averaged.model.parameters())
    assert not averaged.model.training
