"""Optimizers by name, and the learning rate of each step."""

import math
from typing import Any

import torch
from torch import nn

OPTIMIZERS = ("sgd", "adamw")
WARM_UP, WARM_UP_START = 0.05, 0.1  # share of all steps; share of the base rate
DROPS = (0.3, 0.6, 0.9)  # shares of all steps after which the rate falls to a tenth


def get_optimizer(
    name: str, model: nn.Module, l_rate: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """sgd with momentum, or adamw (Loshchilov & Hutter 2019), which takes no notice of the scale of a loss."""
    groups = parameter_groups(model, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, l_rate, betas=(momentum, 0.999), fused=True)
    sgd = torch.optim.SGD(groups, l_rate, momentum, fused=True)
    for p in model.parameters() if momentum else ():  # a fused SGD leaves them at random if it skips its first step
        sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return sgd


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """No decay on biases and norms: pulling them to zero fits nothing less and only moves the operating point."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decay, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def fine_tuning_from(n_iter: int, share: float) -> int:
    """The first step of the last `share` of a run."""
    return n_iter - round(share * n_iter)


def learning_rate(step: int, n_iter: int, base: float, num_cycles: int = 0) -> float:
    """Rate of step 0..n_iter-1: a linear warm-up, then drops (num_cycles 0) or that many cosine cycles to 0.

    A pure function of the step, so that a resumed run needs no state for it.
    Cosine annealing with warm restarts: Loshchilov & Hutter, "SGDR", 2017, eq. 5.
    """
    warm_up = round(WARM_UP * n_iter)
    if step < warm_up:
        return base * (WARM_UP_START + (1 - WARM_UP_START) * step / warm_up)
    if num_cycles == 0:
        return base * 0.1 ** sum(step >= round(drop * n_iter) for drop in DROPS)
    position = (step - warm_up) / (n_iter - warm_up) * num_cycles % 1
    return base * 0.5 * (1 + math.cos(math.pi * position))
