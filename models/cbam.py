"""CBAM: Convolutional Block Attention Module (Woo et al., ECCV 2018)."""

import torch
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """Weighs channels by what their average and their maximum over the whole map tell (eq. 2)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        attention = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))  # (B, C)
        return x * attention.sigmoid()[:, :, None, None]


class SpatialGate(nn.Module):
    """Weighs places by what the average and the maximum over the channels tell (eq. 3)."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)  # (B, 2, H, W)
        return x * self.norm(self.conv(pooled)).sigmoid()


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention, as in fig. 1 of the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelGate(channels), SpatialGate())
