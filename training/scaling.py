"""Gradients of fp16, whose smallest numbers are large: scaled up before the backward pass, and down after it."""

from typing import Any

import torch
from torch import Tensor

from utils.errors import UserError

FIRST_SCALE = 2.0**16
LEAST_SCALE = 2.0**-10  # what overflows even then is no matter of scale


class LossScaler:
    """A step whose scaled gradients overflow is skipped and counted, and the scale is halved; it doubles after 2,000
    steps without one (Micikevicius et al. 2018, section 3.2).  In fp32 and bf16 all of this does nothing.
    """

    def __init__(self, precision: torch.dtype, device: torch.device) -> None:
        self.active = precision == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=self.active)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)  # steps

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to take gradients of."""
        return self.scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> Tensor:
        """Scale the gradients down; a bool on the device: False if one is not finite and the step is to be taken."""
        self.scaler.unscale_(optimizer)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = torch.nn.utils.get_total_norm(gradients).isfinite()
        if not self.active:
            return finite
        self.skipped += ~finite
        return torch.ones_like(finite)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the optimizer's step, or skip it; waits for no GPU where the optimizer is a fused one."""
        if self.active:
            _start_momentum(optimizer)
        self.scaler.step(optimizer)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """For a checkpoint; empty where there is no scale."""
        if not self.active:
            return {}
        whole = self.scaler.state_dict()
        return {"scale": whole["scale"], "growth": whole["_growth_tracker"], "skipped": int(self.skipped)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from state(); an empty one, of a run in another precision, starts anew."""
        if self.active and state:
            whole = {"scale": state["scale"], "_growth_tracker": state["growth"]}
            self.scaler.load_state_dict(self.scaler.state_dict() | whole)
            self.skipped.fill_(state["skipped"])

    def check(self) -> int:
        """Steps skipped so far.  Raises UserError where no scale is small enough."""
        if self.active and self.scaler.get_scale() < LEAST_SCALE:
            raise UserError("the gradients are not finite at any scale; try a smaller --l_rate, or --precision fp32")
        return int(self.skipped)


def _start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give SGD its buffers at zero: a fused one leaves them at random if the first step of all is skipped."""
    for group in optimizer.param_groups:
        if not isinstance(optimizer, torch.optim.SGD) or not group["momentum"]:
            continue
        for p in group["params"]:
            if p.grad is not None and optimizer.state[p].get("momentum_buffer") is None:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
