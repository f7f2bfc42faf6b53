"""CBAM: Convolutional Block Attention Module (Woo et al., ECCV 2018)."""

import torch
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """Weighs channels by their mean and maximum over the whole map (eq. 2)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU6(inplace=True), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        places = x.flatten(2)  # (B, C, H * W)
        mean = places.sum(2) / places.shape[2]  # (B, C); faster than mean(), above all backward
        attention = self.mlp(mean) + self.mlp(places.amax(2))  # (B, C)
        return x * attention.sigmoid()[:, :, None, None]


class SpatialGate(nn.Module):
    """Weighs places by the mean and maximum over the channels (eq. 3)."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean = x.sum(1, keepdim=True) / x.shape[1]  # (B, 1, H, W)
        pooled = torch.cat([x.amax(1, keepdim=True), mean], dim=1)  # (B, 2, H, W)
        return x * self.norm(self.conv(pooled)).sigmoid()


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention, as in fig. 1 of the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelGate(channels), SpatialGate())
