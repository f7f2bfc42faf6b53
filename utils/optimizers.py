"""Optimizers by name, with weight decay where it belongs."""

from typing import Any

import torch
from torch import nn

OPTIMIZERS = ("sgd", "adamw")


def get_optimizer(
    name: str, model: nn.Module, l_rate: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """sgd with momentum, or adamw (Loshchilov & Hutter 2019), which takes no notice of the scale of a loss."""
    groups = parameter_groups(model, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, l_rate, betas=(momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, l_rate, momentum, fused=True)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """No decay on biases and norms: pulling them to zero fits nothing less and only moves the operating point."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decay, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
