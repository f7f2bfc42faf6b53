"""A network that passes once over a recording and scores a window at every column of its last map.

Overlapping crops repeat most of their arithmetic.  Here the convolutions see the whole recording, and pooling over the
whole input becomes pooling over a window as wide as a crop: in CBAM's channel gates, in squeeze and excitation and
before the classifier.  The scores are close to those of crops but not the same: a convolution at the edge of a window
sees the sound beyond it, at the edge of a crop zeros.
"""

from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torchvision.ops.misc import SqueezeExcitation

from models.cbam import ChannelGate
from models.fused_norms import fold_norms


def windowed(model: nn.Module, n_mels: int, width: int) -> fx.GraphModule:
    """A copy in evaluation mode: (B, in_channels, n_mels, T) -> logits (B * windows, n_classes), T >= width.

    The windows of one recording follow each other.  width: frames of a crop.
    """
    copy = deepcopy(model).eval()
    kinds = {ChannelGate: _LocalGate, SqueezeExcitation: _LocalSqueeze}
    for name, module in list(copy.named_modules()):
        if type(module) in kinds or name == "avgpool":
            copy.set_submodule(name, kinds.get(type(module), _WindowMeans)(module))
    first = next(module for module in copy.modules() if isinstance(module, nn.Conv2d))
    with torch.inference_mode():
        copy(first.weight.new_zeros(1, first.in_channels, n_mels, width))  # sets the width of all windows
    return fold_norms(copy)


class _Windowed(nn.Module):
    """Replaces a module that pools over its whole input; the first input sets the width of the windows."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original, self.window = original, 0

    def forward(self, x: Tensor) -> Tensor:
        self.window = self.window or x.shape[3]
        return self.pool(x)


class _LocalGate(_Windowed):
    """A ChannelGate with the mean and maximum of a window around each column."""

    def pool(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, top = local_mean(x, self.window), local_max(x, self.window)  # (B, C, W) each
        attention = self.original.mlp(mean.transpose(1, 2)) + self.original.mlp(top.transpose(1, 2))  # (B, W, C)
        return x * attention.sigmoid().transpose(1, 2)[:, :, None]


class _LocalSqueeze(_Windowed):
    """torchvision's SqueezeExcitation with the mean of a window around each column."""

    def pool(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        net, mean = self.original, local_mean(x, self.window)[:, :, None]  # (B, C, 1, W)
        return x * net.scale_activation(net.fc2(net.activation(net.fc1(mean))))


class _WindowMeans(_Windowed):
    """The mean of each window, as if each were an input of its own."""

    def pool(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B * windows, C, 1, 1)."""
        means = F.avg_pool1d(x.mean(2), self.window, stride=1)  # (B, C, windows)
        return means.transpose(1, 2).flatten(0, 1)[:, :, None, None]


@fx.wrap
def local_mean(x: Tensor, window: int) -> Tensor:
    """(B, C, H, W) -> (B, C, W): the mean over all rows of the window around each column."""
    return _around_each_column(F.avg_pool1d(x.mean(2), window, stride=1), x.shape[3])


@fx.wrap
def local_max(x: Tensor, window: int) -> Tensor:
    """As local_mean, the maximum."""
    return _around_each_column(F.max_pool1d(x.amax(2), window, stride=1), x.shape[3])


def _around_each_column(pooled: Tensor, width: int) -> Tensor:
    """(B, C, windows) -> (B, C, width); columns near the ends take the first or the last window."""
    n = pooled.shape[2]
    return pooled[:, :, (torch.arange(width, device=pooled.device) - (width - n) // 2).clamp(0, n - 1)]
