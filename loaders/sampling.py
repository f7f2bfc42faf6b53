"""Which clips are in which batch: a function of the seed and the batch's number alone."""

from functools import lru_cache

import numpy as np


class Sampler:
    """Batches from endless shuffled epochs, of all clips together or of two groups in fixed shares."""

    def __init__(
        self,
        n_first: int,
        n_clips: int,
        batch_size: int,
        seed: int,
        first_share: float = 0.0,
        later_share: float = 1.0,
        later_from: float = np.inf,
    ) -> None:
        """first_share: at least so much of the batches is, on average, of clips 0..n_first-1; the others get the rest.

        later_share: the same from batch number later_from on.
        """
        self.batch_size, self.seed = batch_size, seed
        self.groups, self.later_groups = (_groups(n_first, n_clips, share) for share in (first_share, later_share))
        self.later_from = later_from

    def batch(self, number: int) -> np.ndarray:
        """Indices (batch_size,) of the clips of that batch."""
        chosen, edge = [], 0.0
        groups = self.groups if number < self.later_from else self.later_groups
        for stream, (first, last, share) in enumerate(groups):
            lower, edge = edge, edge + share * self.batch_size
            before, after = (self._total(n, lower, edge) for n in (number, number + 1))
            chosen.append(first + self._positions(np.arange(before, after), stream, last - first))
        return np.concatenate(chosen)

    def _total(self, batches: int, lower: float, upper: float) -> int:
        """How many clips of a group are in so many batches; whole numbers that add up to whole batches."""
        return round(batches * upper) - round(batches * lower)

    def _positions(self, positions: np.ndarray, stream: int, n: int) -> np.ndarray:
        """Clips at these positions of an endless sequence of shuffled epochs."""
        epochs, places = np.divmod(positions, n)
        parts = [_epoch(self.seed, stream, epoch, n)[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(parts) if parts else np.zeros(0, int)


def _groups(n_first: int, n_clips: int, share: float) -> list[tuple[int, int, float]]:
    """First clip, last clip + 1 and share of the batches of each group."""
    groups = [(0, n_first, share), (n_first, n_clips, 1 - share)] if share > n_first / n_clips else []
    return [group for group in groups if group[2] > 0] or [(0, n_clips, 1.0)]


@lru_cache(maxsize=4)
def _epoch(seed: int, stream: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, 3 * stream, epoch]).permutation(n)  # 1 and 2 are the streams of the crops
