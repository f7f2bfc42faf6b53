"""Averaged weights: a copy of the network that follows the trained one slowly and scores better than it."""

from copy import deepcopy

import torch
from torch import nn


class AveragedModel:
    """Exponential moving average of weights and norm statistics (Tarvainen & Valpola 2017, section 2)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """decay: in (0, 1), the share of itself that the average keeps in a step, once it is warm."""
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.to, self.ours = _floats(self.model), _floats(model)

    def update(self, step: int) -> None:
        """Take in the weights after step 0, 1, ...; over the first steps the average forgets faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.to, self.ours, 1 - decay)


def _floats(model: nn.Module) -> list[torch.Tensor]:
    """Weights and buffers that can be averaged; what counts batches cannot."""
    return [value.detach() for value in model.state_dict().values() if value.is_floating_point()]
