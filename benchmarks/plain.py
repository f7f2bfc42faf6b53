"""The same tagger as one would write it first, one sample at a time.  The benchmarks compare with it.

A list of clips in memory, cut by DataLoader workers; mixup, SpecAugment and the Lovász hinge in loops over the
samples; a loss that is read after every step; float32, the contiguous memory format, the default allocator; prediction
clip by clip; librosa on one core.  The network is the repository's, and the results are the same (tests/benchmarks).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from loaders.clips import Clips
from losses import get_loss


def features(n: int) -> None:
    """Features of the first n of `wavs/`, one after the other, into `librosa/`."""
    import librosa  # which may be missing where there is a GPU

    Path("librosa").mkdir(exist_ok=True)
    for path in sorted(Path("wavs").iterdir())[:n]:
        samples, rate = librosa.load(path, sr=44_100, mono=True)
        samples, _ = librosa.effects.trim(samples, top_db=60)
        if len(samples) < 2 * rate:
            samples = np.resize(samples, 2 * rate)
        bands = {"n_fft": 2048, "n_mels": 128, "fmin": 20, "fmax": 22050, "power": 1, "pad_mode": "reflect"}
        mel = librosa.feature.melspectrogram(y=samples, sr=rate, hop_length=441, **bands)
        numbers = {"gain": 0.5, "bias": 0.001, "power": 0.2, "time_constant": 0.4, "eps": 1e-9}
        pcen = librosa.pcen(mel, sr=rate, hop_length=441, **numbers)
        np.save(Path("librosa", f"{path.stem}.npy"), pcen.astype(np.float16))


def arrays(clips: Clips) -> Iterator[np.ndarray]:
    """Clips one by one, (n_mels, frames) float32, as librosa gives them."""
    for pack, start, length in zip(clips.pack_of, clips.starts, clips.lengths, strict=True):
        yield np.ascontiguousarray(clips.packs[pack][start : start + length].T.float().cpu().numpy())


@dataclass
class Crops(Dataset):
    """A random crop (1, n_mels, width) of each clip (n_mels, frames), and its targets (C,)."""

    clips: list[np.ndarray]
    targets: np.ndarray  # (N, C)
    width: int

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = int(torch.randint(self.clips[index].shape[1] - self.width + 1, ()))
        crop = self.clips[index][:, start : start + self.width]
        return torch.from_numpy(crop)[None].contiguous(), torch.from_numpy(self.targets[index])


def trainer(model: nn.Module, clips: Crops, batch_size: int, device: torch.device) -> Callable[[int], None]:
    """A function that trains the model for a number of steps."""
    model.to(device, memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    how = {"num_workers": min(8, os.cpu_count()), "persistent_workers": True, "multiprocessing_context": "fork"}
    loader = DataLoader(clips, batch_size, shuffle=True, drop_last=True, pin_memory=device.type == "cuda", **how)
    batches = chain.from_iterable(repeat(loader))  # epoch after epoch
    rng, losses, bce = np.random.default_rng(0), [], get_loss("bce")

    def train(steps: int) -> None:
        for _ in range(steps):
            inputs, targets = (tensor.to(device) for tensor in next(batches))
            inputs, targets = mixup(inputs, targets, rng)
            inputs = spec_augment(inputs, rng)
            logits = model(inputs)
            loss = bce(logits, targets) + lovasz_hinge(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return train


def mixup(inputs: Tensor, targets: Tensor, rng: np.random.Generator, alpha: float = 0.4) -> tuple[Tensor, Tensor]:
    """Mix each sample of (B, 1, n_mels, T) and its targets (B, C) with another one."""
    lambdas = [rng.beta(alpha, alpha) for _ in inputs]
    mixed = []
    for i, (lam, j) in enumerate(zip(lambdas, rng.permutation(len(inputs)), strict=True)):
        lam = max(lam, 1 - lam)
        mixed.append((lam * inputs[i] + (1 - lam) * inputs[j], lam * targets[i] + (1 - lam) * targets[j]))
    return torch.stack([each for each, _ in mixed]), torch.stack([each for _, each in mixed])


def spec_augment(inputs: Tensor, rng: np.random.Generator, masks: int = 2, share: float = 0.2) -> Tensor:
    """Fill up to two bands, then up to two spans of each sample of (B, 1, n_mels, T) with the mean it has by then."""
    inputs = inputs.clone()
    for sample in inputs:
        for axis in (1, 2):
            size = sample.shape[axis]
            limits = rng.integers(0, int(share * size), masks)
            starts = rng.integers(0, size - limits)
            widths = rng.integers(0, np.maximum(limits, 1))
            for limit, start, width in zip(limits, starts, widths, strict=True):
                if limit == 0:
                    break
                sample.narrow(axis, int(start), int(width)).copy_(sample.mean())
    return inputs


def lovasz_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """The Lovász hinge of each sample of (B, C) over its classes, averaged."""
    losses = []
    for logit, target in zip(logits, targets, strict=True):
        errors, order = torch.sort(1 - logit * (2 * target - 1), descending=True)
        target = target[order]
        intersection = target.sum() - target.cumsum(0)
        union = target.sum() + (1 - target).cumsum(0)
        jaccard = 1 - intersection / union
        growth = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append(torch.dot(F.relu(errors), growth))
    return torch.stack(losses).mean()


@torch.no_grad()
def predict(model: nn.Module, clips: Iterable[np.ndarray], width: int, tta: int, device: torch.device) -> np.ndarray:
    """Mean probability over `tta` evenly spaced crops of each clip (n_mels, frames), one clip at a time: (N, C)."""
    model.to(device, memory_format=torch.contiguous_format).eval()
    rows = []
    for clip in clips:
        spare = clip.shape[1] - width
        starts = [0] if spare <= 0 else np.linspace(0, spare, tta).round().astype(int)
        crops = np.stack([clip[:, start : start + width] for start in starts])
        logits = model(torch.from_numpy(crops)[:, None].to(device))
        rows.append(torch.sigmoid(logits).mean(dim=0).cpu().numpy())
    return np.stack(rows)
