"""Features as if the recording had been louder or quieter."""

from torch import Tensor

from loaders.pcen import AudioSettings

PCEN = AudioSettings()  # its gain, bias and power are the same at every rate


def change_level(inputs: Tensor, gains: Tensor, settings: AudioSettings = PCEN) -> Tensor:
    """PCEN (B, 1, n_mels, T) of the samples times `gains` (B,), from PCEN of the samples.

    PCEN is (u + bias)^power - bias^power with u = E / (eps + M)^gain, where E and its smoothed M are proportional to
    the samples, so u is proportional to their power 1 - gain: exact but for eps.
    """
    root = settings.bias**settings.power
    u = ((inputs + root) ** (1 / settings.power) - settings.bias).clamp_min(0)
    u = u * gains.view(-1, 1, 1, 1) ** (1 - settings.gain)
    return (u + settings.bias) ** settings.power - root
