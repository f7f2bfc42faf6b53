"""CBAM: Convolutional Block Attention Module (Woo et al., ECCV 2018)."""

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

from models.relu6 import ReLU6


class ChannelGate(nn.Module):
    """Weighs channels by what their average and their maximum over the whole map tell (eq. 2)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), ReLU6(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, top = mean_and_max(x.flatten(2), 2)  # (B, C, 1) each
        attention = self.mlp(mean[:, :, 0]) + self.mlp(top[:, :, 0])  # (B, C)
        return x * attention.sigmoid()[:, :, None, None]


class SpatialGate(nn.Module):
    """Weighs places by what the average and the maximum over the channels tell (eq. 3)."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, top = mean_and_max(x, 1)  # (B, 1, H, W) each
        return x * self.norm(self.conv(torch.cat([top, mean], dim=1))).sigmoid()


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention, as in fig. 1 of the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelGate(channels), SpatialGate())


@fx.wrap
def mean_and_max(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and maximum over a dimension, which stays with size 1; of equal maxima the first gets the gradient.

    Under torch.compile the usual functions, which fuse, and on GPUs too, where ours was never measured: there equal
    maxima share the gradient.
    """
    if x.is_cuda or torch.compiler.is_compiling():
        return x.mean(dim, keepdim=True), x.amax(dim, keepdim=True)
    if not x.requires_grad:
        return _mean(x, dim), x.amax(dim, keepdim=True)
    return _MeanAndMax.apply(x, dim)


def _mean(x: Tensor, dim: int) -> Tensor:
    # In bfloat16 on the CPU four times as fast as mean().  The dtype, since CUDA's autocast would make it float32.
    return x.sum(dim, keepdim=True, dtype=x.dtype) / x.shape[dim]


class _MeanAndMax(torch.autograd.Function):
    """One pass backward, where autograd takes several, most of them to find the maxima again."""

    @staticmethod
    def forward(ctx, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        top, where = x.max(dim, keepdim=True)
        ctx.save_for_backward(where)
        ctx.dim, ctx.shape, ctx.strides = dim, x.shape, x.stride()
        return _mean(x, dim), top

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_mean: Tensor, grad_top: Tensor) -> tuple[Tensor, None]:
        (where,) = ctx.saved_tensors
        share = grad_mean / ctx.shape[ctx.dim]
        at_top = share + grad_top
        grad = at_top.new_empty_strided(ctx.shape, ctx.strides).copy_(share)
        if grad.dtype == torch.bfloat16:  # which scatter_ would take through float32 and back, all of it
            grad.view(torch.int16).scatter_(ctx.dim, where, at_top.view(torch.int16))
            return grad, None
        return grad.scatter_(ctx.dim, where, at_top), None
