"""Augmentation of a whole batch at once, on the device it lies on.

Every function draws from a NumPy generator on the host (a few hundred bytes a batch), so the same seed gives the
same masks and partners on a CPU and on a GPU.
"""

import numpy as np
import torch
from torch import Tensor

from utils.devices import send

MIXUP_ALPHA = 0.4
MASKS, MASK_SHARE = 2, 0.2  # masks per axis and sample; the widest one's share of the axis


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


def spec_augment(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Blank two bands of frequencies and two spans of time per sample (Park et al. 2019, section 2, no warp).

    inputs (B, 1, n_mels, T).  Each mask is 0 to 20 % of its axis wide and filled with the sample's mean.
    """
    batch, _, n_mels, frames = inputs.shape
    bands = send(torch.from_numpy(draw_masks(rng, batch, n_mels)), inputs.device)  # (B, n_mels)
    spans = send(torch.from_numpy(draw_masks(rng, batch, frames)), inputs.device)  # (B, T)
    masked = bands[:, None, :, None] | spans[:, None, None, :]
    return torch.where(masked, inputs.mean(dim=(1, 2, 3), keepdim=True), inputs)


def draw_masks(rng: np.random.Generator, batch: int, size: int) -> np.ndarray:
    """Which positions of an axis are masked: (batch, size) bool, the union of two spans per sample."""
    width = rng.integers(0, int(MASK_SHARE * size) + 1, (batch, MASKS, 1))
    start = rng.integers(0, size - width + 1)
    position = np.arange(size)
    return ((position >= start) & (position < start + width)).any(axis=1)
