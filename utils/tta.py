"""Probabilities of clips from overlapping crops: what validation measures and what test.py writes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from loaders.store import Clips
from models.folding import fold_norms


def crop_starts(length: int, width: int, tta: int | None, slack: int = 0) -> np.ndarray:
    """First frames of the crops of one clip, evenly spaced from its first to its last frame.

    length, width: frames of the clip and of a crop.  tta: how many crops; None: half a crop apart or less.  A clip
    longer than a crop by at most `slack` frames (the edges that a centred STFT adds) is scored once, in its middle.
    """
    spare = length - width
    if spare <= slack:
        return np.array([max(spare, 0) // 2])
    count = tta or int(np.ceil(spare / (width / 2))) + 1
    return np.unique(np.linspace(0, spare, count).round().astype(int)) if count > 1 else np.array([spare // 2])


@torch.inference_mode()
def predict(
    model: nn.Module,
    clips: Clips,
    width: int,
    batch_size: int,
    device: torch.device,
    tta: int | None = None,
    slack: int = 0,
    precision: torch.dtype = torch.float32,
    label: str | None = None,
) -> np.ndarray:
    """Mean probability of each class over a clip's crops: (N, C) float32.

    tta: see crop_starts; 0 takes each clip whole in one pass.  Crops are batched across clips.  label: of the
    progress bar.
    """
    model.eval()
    folded = fold_norms(model)
    starts = [np.zeros(1, int) if tta == 0 else crop_starts(int(length), width, tta, slack) for length in clips.lengths]
    counts = np.array([len(first) for first in starts])
    owner, first = np.repeat(np.arange(len(clips)), counts), np.concatenate(starts)  # (crops,)
    widths = clips.lengths if tta == 0 else np.full(len(clips), width)
    batches = list(_batches(widths[owner], batch_size))
    probabilities: list[torch.Tensor] = []
    for batch in tqdm(batches, desc=label, unit="batch", disable=None if label else True, leave=False):
        inputs = clips.crops(owner[batch], first[batch], int(widths[owner[batch[0]]]), device)
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            logits = folded(inputs.contiguous(memory_format=torch.channels_last))
        probabilities.append(logits.float().sigmoid())
    crops = torch.cat(probabilities).cpu().numpy()[np.argsort(np.concatenate(batches))]  # (crops, C)
    sums = np.add.reduceat(crops, np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None].astype(np.float32)


def _batches(widths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Indices of crops, batch by batch, all of a batch of the same width; one width keeps the order."""
    order = np.argsort(widths, kind="stable")
    edges = np.flatnonzero(np.diff(widths[order])) + 1
    for same in np.split(order, edges):
        yield from np.split(same, range(batch_size, len(same), batch_size))
