"""Which weights decay, and which optimizer a name means."""

import pytest
import torch
from torch import nn

from models import get_model
from utils.optimizers import get_optimizer, parameter_groups


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
