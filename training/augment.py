"""Augmentation of a whole batch at once, on the device it lies on.

Every function draws from a NumPy generator on the host (a few hundred bytes a batch), so the same seed gives the
same masks and partners on a CPU and on a GPU.
"""

import numpy as np
import torch
from torch import Tensor

from loaders.levels import change_level
from predicting.tta import move_bands
from utils.devices import send

MIXUP_ALPHA = 0.4
MASKS = 2  # per axis and sample
LOUDER = 6.0  # dB by which a random level may be above a clip's own


def random_level(inputs: Tensor, rng: np.random.Generator, quieter: float) -> Tensor:
    """Every sample as if its recording were up to `quieter` dB quieter or up to 6 dB louder, uniform in dB.

    inputs (B, 1, n_mels, T), PCEN of `AudioSettings`.  A recorder is quieter than the clips that people share.
    """
    gains = 10 ** (rng.uniform(-quieter, LOUDER, len(inputs)) / 20)
    return change_level(inputs, send(torch.from_numpy(gains.astype(np.float32)), inputs.device))


def mixup(inputs: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix every sample with another one of the batch (Zhang et al. 2018, eq. 1).

    inputs (B, 1, n_mels, T), targets (B, C).  lambda is drawn per sample from Beta(0.4, 0.4) and taken as
    max(lambda, 1 - lambda), so that a sample keeps the larger part of itself.
    """
    share = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(inputs))
    lam = send(torch.from_numpy(np.maximum(share, 1 - share).astype(np.float32)), inputs.device)
    partner = send(torch.from_numpy(rng.permutation(len(inputs))), inputs.device)
    mixed = torch.lerp(inputs[partner], inputs, lam.view(-1, 1, 1, 1))
    return mixed, torch.lerp(targets[partner], targets, lam.view(-1, 1))


def shift_bands(inputs: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Shift every sample along frequency by a whole number of mel bands, as if its source were higher or lower.

    inputs (B, 1, n_mels, T).  The shifts are uniform between -limit and limit, which is share * n_mels, rounded.
    """
    batch, _, n_mels, _ = inputs.shape
    limit = round(share * n_mels)
    return move_bands(inputs, rng.integers(-limit, limit + 1, batch))


def spec_augment(inputs: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Blank up to two bands of frequencies, then up to two spans of time per sample (Park et al. 2019, no time warp).

    inputs (B, 1, n_mels, T).  Each mask is filled with the mean that its sample has by then.  share: see draw_masks.
    """
    batch, _, n_mels, frames = inputs.shape
    bands = send(torch.from_numpy(draw_masks(rng, batch, n_mels, share)), inputs.device)  # (MASKS, B, n_mels)
    spans = send(torch.from_numpy(draw_masks(rng, batch, frames, share)), inputs.device)  # (MASKS, B, T)
    for masked in (*bands[:, :, None, :, None], *spans[:, :, None, None, :]):
        inputs = torch.where(masked, inputs.mean(dim=(1, 2, 3), keepdim=True), inputs)
    return inputs


def draw_masks(rng: np.random.Generator, batch: int, size: int, share: float) -> np.ndarray:
    """Which positions of an axis each mask covers: (MASKS, batch, size) bool.

    As in the original solution, a mask draws a limit below share * size, then where it starts, then a width below the
    limit, so it covers a quarter of share * size on average.  A limit of 0 ends the masks of its sample.
    """
    limit = rng.integers(0, max(int(share * size), 1), (MASKS, batch, 1))
    start = rng.integers(0, size - limit)
    width = rng.integers(0, np.maximum(limit, 1))
    width = np.where(np.logical_and.accumulate(limit > 0), width, 0)
    position = np.arange(size)
    return (position >= start) & (position < start + width)
