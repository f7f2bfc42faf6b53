"""The training batches of a fold, by number, on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from loaders.clips import Clips
from loaders.sampling import Sampler
from utils import streams
from utils.devices import send


@dataclass(frozen=True)
class Batches:
    """Crops of clips and their targets.  What is in a batch depends on the seed and its number alone."""

    clips: Clips
    targets: Tensor  # (N, C) float32 in [0, 1], on the device
    sampler: Sampler
    width: int  # frames of a crop

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        """Inputs (B, 1, n_mels, width) float32 and targets (B, C) of the batch of that number."""
        device = self.targets.device
        chosen = self.sampler.batch(number)  # (B,)
        slack = np.maximum(self.clips.lengths[chosen] - self.width, 0)
        first = streams.generator(self.sampler.seed, streams.CROPS, number).integers(0, slack + 1)  # (B,)
        inputs = self.clips.crops(chosen, first, self.width, device)
        return inputs, self.targets[send(torch.from_numpy(chosen), device)]
