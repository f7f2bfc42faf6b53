"""From a map of features to one vector per clip."""

from torch import Tensor, nn


class MeanThenMax(nn.Module):
    """Mean over the frequencies, then the maximum plus the mean over time (Kong et al. 2020, PANNs, section III).

    A sound that is short next to the crop is not averaged away.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        x = x.mean(dim=2, keepdim=True)
        return x.amax(dim=3, keepdim=True) + x.mean(dim=3, keepdim=True)
