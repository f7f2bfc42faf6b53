"""ReLU6 whose backward pass needs nothing but its result."""

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


class ReLU6(nn.ReLU6):
    """min(max(x, 0), 6) (Howard et al. 2017) with the very gradients of nn.ReLU6; may change its input.

    That one, in place or not, keeps its input for the backward pass, in place by copying it first.
    """

    def __init__(self) -> None:
        super().__init__(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return relu6_(x)


@fx.wrap
def relu6_(x: Tensor) -> Tensor:
    """x clipped, in place or not.

    Under torch.compile the usual function, which fuses with what stands around it; on GPUs too, where ours was never
    measured.
    """
    return F.relu6(x) if x.is_cuda or torch.compiler.is_compiling() else _ReLU6.apply(x)


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            ctx.mark_dirty(x)
            result = x.clamp_(0, 6)
        else:  # in bfloat16 a CPU takes twice as long in place
            result = x.clamp(0, 6)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors  # strictly between 0 and 6 where, and only where, the input was
        return torch.ops.aten.hardtanh_backward(grad, result, 0.0, 6.0)
