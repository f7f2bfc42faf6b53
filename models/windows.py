"""A network that passes once over a recording and still judges it crop by crop.

Overlapping crops repeat most of their arithmetic.  Here the convolutions see the whole recording.  Only where a network
pools over its whole input, it pools over a window as wide as a crop: for the statistics of CBAM and of squeeze and
excitation, and for the mean before the classifier.  So the scores are not those of crops: a window sees what lies
beyond its edges, where a crop sees zeros, and there is a window at every column of the last map.
"""

from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torchvision.ops.misc import SqueezeExcitation

from models.cbam import ChannelGate
from models.fused_norms import fold_norms


def windowed(model: nn.Module, n_mels: int, width: int) -> nn.Module:
    """A copy in evaluation mode: (B, in_channels, n_mels, T) -> logits (B * windows, n_classes), T >= width.

    The windows of one recording follow each other.  width: frames of a crop.
    """
    copy = deepcopy(model).eval()
    poolings = {
        name: module
        for name, module in copy.named_modules()
        if isinstance(module, ChannelGate | SqueezeExcitation) or name == "avgpool"
    }
    windows = _map_widths(copy, poolings, n_mels, width)
    for name, module in poolings.items():
        kind = _WindowMeans if name == "avgpool" else _LocalGate if isinstance(module, ChannelGate) else _LocalSqueeze
        copy.set_submodule(name, kind(module, windows[name]))
    return fold_norms(copy)


def _map_widths(model: nn.Module, modules: dict[str, nn.Module], n_mels: int, width: int) -> dict[str, int]:
    """How many columns the maps have that reach these modules when the network sees one crop."""
    widths: dict[str, int] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: widths.update({name: inputs[0].shape[3]}))
        for name, module in modules.items()
    ]
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    with torch.inference_mode():
        model(first.weight.new_zeros(1, first.in_channels, n_mels, width))
    for hook in hooks:
        hook.remove()
    return widths


class _LocalGate(nn.Module):
    """A ChannelGate whose average and maximum are those of a window around each column."""

    def __init__(self, gate: ChannelGate, window: int) -> None:
        super().__init__()
        self.mlp, self.window = gate.mlp, window

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, top = local_mean(x, self.window), local_max(x, self.window)  # (B, C, W) each
        attention = self.mlp(mean.transpose(1, 2)) + self.mlp(top.transpose(1, 2))  # (B, W, C)
        return x * attention.sigmoid().transpose(1, 2)[:, :, None]


class _LocalSqueeze(nn.Module):
    """torchvision's SqueezeExcitation, with the average of a window around each column."""

    def __init__(self, squeeze: SqueezeExcitation, window: int) -> None:
        super().__init__()
        layers = [squeeze.fc1, squeeze.activation, squeeze.fc2, squeeze.scale_activation]
        self.scale, self.window = nn.Sequential(*layers), window

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.scale(local_mean(x, self.window)[:, :, None])


class _WindowMeans(nn.Module):
    """The mean of each window, as if each were an input of its own."""

    def __init__(self, _: nn.Module, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
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
    """(B, C, windows) -> (B, C, width); near the ends the first or the last window, which do not reach beyond them."""
    n = pooled.shape[2]
    return pooled[:, :, (torch.arange(width, device=pooled.device) - (width - n) // 2).clamp(0, n - 1)]
