"""Probabilities of clips from overlapping crops: what validation measures and what test.py writes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from tqdm import tqdm

from loaders.clips import Clips
from losses import get_activation
from models.fused_norms import fold_norms
from models.windows import windowed
from utils.devices import autocast, send

SHARED = "shared"  # for tta: all crops of a clip in one pass, see models/windows.py
ONE_PASS = (0, SHARED)  # values of tta for which a clip is not cut into crops
LONGEST_PASS = 6000  # frames, a minute: longer clips pass in several parts, which bounds the memory
TURNS = np.array([0, -1, 1])  # how the crops of a clip are shifted along frequency, one after another


def prepare(model: nn.Module, tta: int | str | None, n_mels: int, width: int) -> fx.GraphModule:
    """A copy of a network with folded norms; predict makes one of a network that is not prepared."""
    return windowed(model, n_mels, width) if tta == SHARED else fold_norms(model)


def shift_of(args: dict[str, Any]) -> float:
    """The share of the bands by which crops are shifted in prediction: half the limit of the training."""
    return args["shift_share"] / 2


def crop_starts(length: int, width: int, tta: int | None) -> np.ndarray:
    """First frames of the crops of one clip, evenly spaced from its first to its last frame, rounded.

    length, width: frames of the clip and of a crop.  tta: how many crops; None: half a crop apart or less.  In a clip
    that is hardly longer than a crop several crops start at the same frame, as published.  A clip no longer than a
    crop is scored once; so is any clip with one crop, in its middle.
    """
    spare = length - width
    if spare <= 0:
        return np.zeros(1, int)
    count = tta or int(np.ceil(spare / (width / 2))) + 1
    return np.linspace(0, spare, count).round().astype(int) if count > 1 else np.array([spare // 2])


@torch.inference_mode()
def predict(
    model: nn.Module,
    clips: Clips,
    width: int,
    batch_size: int,
    device: torch.device,
    tta: int | str | None = None,
    precision: torch.dtype = torch.float32,
    label: str | None = None,
    shift: float = 0.0,
    loss: str = "bce+lovasz",
) -> np.ndarray:
    """Mean probability of each class over a clip's crops: (N, C) float32.

    tta: see crop_starts; 0 takes each clip whole in one pass, SHARED in one pass that is judged crop by crop.  Crops
    are batched across clips.  label: of the progress bar.  shift: by this share of the bands, rounded, a clip's second
    crop is shifted up, its third down, its fourth not, and so on; 0 with SHARED.  loss: what the network learned by.
    """
    if not isinstance(model, fx.GraphModule):  # not prepared yet
        model = prepare(model, tta, clips.packs[0].shape[1], width)
    parts = [_parts(int(length), width, tta) for length in clips.lengths]
    counts = np.array([len(first) for first, _ in parts])
    owner = np.repeat(np.arange(len(clips)), counts)  # (crops,)
    first, widths = np.concatenate([first for first, _ in parts]), np.repeat([wide for _, wide in parts], counts)
    starts = np.cumsum(counts) - counts  # (N,) which crop is the first of each clip
    shifts = round(shift * clips.packs[0].shape[1]) * TURNS[(np.arange(len(owner)) - starts[owner]) % len(TURNS)]
    batches, activation = list(_batches(widths, batch_size * width)), get_activation(loss)
    probabilities: list[torch.Tensor] = []
    for batch in tqdm(batches, desc=label, unit="batch", disable=None if label else True, leave=False):
        wide = int(widths[batch[0]])
        inputs = move_bands(clips.crops(owner[batch], first[batch], wide, device), shifts[batch])
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(device, precision):
            logits = model(inputs)
        probabilities.append(activation(logits.float()).unflatten(0, (len(batch), -1)).mean(dim=1))
    crops = torch.cat(probabilities).cpu().numpy()[np.argsort(np.concatenate(batches))]  # (crops, C)
    return np.add.reduceat(crops, starts, axis=0) / counts[:, None].astype(np.float32)


def move_bands(inputs: torch.Tensor, shifts: np.ndarray) -> torch.Tensor:
    """Shift along frequency: band i of sample b becomes its band i + shifts[b], beyond the edge the band at the edge.

    inputs (B, 1, n_mels, T), shifts (B,) whole numbers.
    """
    if not shifts.any():
        return inputs
    n_mels = inputs.shape[2]
    bands = torch.arange(n_mels, device=inputs.device) + send(torch.from_numpy(shifts[:, None]), inputs.device)
    return inputs.take_along_dim(bands.clamp(0, n_mels - 1)[:, None, :, None], dim=2)


def _parts(length: int, width: int, tta: int | str | None) -> tuple[np.ndarray, int]:
    """First frames of the parts of a clip that pass through the network, and how many frames each has."""
    if tta == 0:
        return np.zeros(1, int), length
    if tta != SHARED:
        return crop_starts(length, width, tta), width
    wide = max(min(length, max(LONGEST_PASS, 2 * width)), width)
    return crop_starts(length, wide, int(np.ceil(length / wide))), wide


def _batches(widths: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Indices of crops of one width each, batch by batch of about so many frames.  A single width keeps the order."""
    order = np.argsort(widths, kind="stable")
    edges = np.flatnonzero(np.diff(widths[order])) + 1
    for same in np.split(order, edges):
        size = max(frames // int(widths[same[0]]), 1)
        yield from np.split(same, range(size, len(same), size))
