"""Which clips and which of their crops are in a batch: a function of the seed and the batch's number alone."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from loaders.clips import Clips
from utils import streams
from utils.devices import send

Group = tuple[int, int, float, int]  # first clip, last clip + 1, share of the batches, random stream


class Sampler:
    """Batches from endless shuffled epochs, of all clips together or of two groups in fixed shares."""

    def __init__(
        self,
        n_curated: int,
        n_clips: int,
        batch_size: int,
        seed: int,
        curated_share: float = 0.0,
        final_share: float = 1.0,
        final_from: float = np.inf,
    ) -> None:
        """The curated clips are 0..n_curated-1, the noisy ones follow.

        curated_share: at least so much of the batches is, on average, of curated clips.  final_share: the same from
        batch number final_from on.
        """
        self.batch_size, self.seed, self.final_from = batch_size, seed, final_from
        self.groups, self.final_groups = (_groups(n_curated, n_clips, share) for share in (curated_share, final_share))

    def batch(self, number: int) -> np.ndarray:
        """Indices (batch_size,) of the clips of that batch."""
        chosen, edge = [], 0.0
        for first, last, share, stream in self.groups if number < self.final_from else self.final_groups:
            lower, edge = edge, edge + share * self.batch_size
            before, after = (round(n * edge) - round(n * lower) for n in (number, number + 1))
            chosen.append(first + self._positions(np.arange(before, after), stream, last - first))
        return np.concatenate(chosen)

    def _positions(self, positions: np.ndarray, stream: int, n: int) -> np.ndarray:
        """Clips at these positions of an endless sequence of shuffled epochs."""
        epochs, places = np.divmod(positions, n)
        parts = [_epoch(self.seed, stream, epoch, n)[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(parts) if parts else np.zeros(0, int)


@dataclass(frozen=True)
class Batches:
    """The training batches of a fold, by number, on the device."""

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


def _groups(n_curated: int, n_clips: int, share: float) -> list[Group]:
    """One group, if the curated clips have their share anyway, or two."""
    if not n_curated or share <= n_curated / n_clips:
        return [(0, n_clips, 1.0, streams.EPOCHS)]
    curated = (0, n_curated, share, streams.EPOCHS)
    return [curated, (n_curated, n_clips, 1 - share, streams.NOISY_EPOCHS)] if share < 1 else [curated]


@lru_cache(maxsize=4)
def _epoch(seed: int, stream: int, epoch: int, n: int) -> np.ndarray:
    return streams.generator(seed, stream, epoch).permutation(n)
