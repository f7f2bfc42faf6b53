"""A network is told which mel band a row is."""

import torch
from torch import Tensor, fx, nn


class FrequencyCoordinate(nn.Module):
    """Appends a channel that rises from -1 at the lowest band to 1 at the highest (Liu et al. 2018, CoordConv).

    Convolutions do not know where they are; in a spectrogram the same shape at another pitch is another sound.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, n_mels, T) -> (B, C + 1, n_mels, T)."""
        return append_coordinate(x)


@fx.wrap  # a step of its own to fold_norms, whose tracer cannot look into it
def append_coordinate(x: Tensor) -> Tensor:
    ramp = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype, device=x.device)
    return torch.cat([x, ramp[:, None].expand(len(x), 1, x.shape[2], x.shape[3])], dim=1)
