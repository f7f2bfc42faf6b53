"""The same tagger as one would write it first, one sample at a time.  The benchmarks compare with it.

One .npy per clip, read by DataLoader workers; mixup, SpecAugment and the Lovász hinge in loops over the samples; a
loss that is looked at after every step; float32, the contiguous memory format, the allocator as it comes; prediction
clip by clip.  The network is the repository's, but for the stem's last ReLU6 and CBAM, which are written as usual; the
results are the same (tests/benchmarks).
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import ResNet

from models import cbam


class ClipFiles(Dataset):
    """A random crop (1, n_mels, width) of each clip in `plain/`, and its targets (C,), softened where noisy."""

    def __init__(self, folder: Path, width: int, noisy_weight: float = 0.8) -> None:
        with open(folder / "sample_submission.csv", encoding="utf-8", newline="") as file:
            self.class_names = next(csv.reader(file))[1:]
        self.targets = {}
        for name, weight in (("train_curated.csv", 1.0), ("train_noisy.csv", noisy_weight)):
            with open(folder / name, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    self.targets[row["fname"]] = self._target(row["labels"].split(","), weight)
        self.paths = sorted((folder / "plain").glob("*.npy"))
        self.width = width

    def _target(self, labels: list[str], weight: float) -> Tensor:
        target = torch.full((len(self.class_names),), (1 - weight) / (len(self.class_names) - len(labels)))
        for label in labels:
            target[self.class_names.index(label)] = weight
        return target

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        features = np.load(self.paths[index])  # (n_mels, frames)
        start = int(torch.randint(features.shape[1] - self.width + 1, ()))
        crop = np.ascontiguousarray(features[:, start : start + self.width])
        return torch.from_numpy(crop)[None], self.targets[self.paths[index].stem]


class ChannelGate(nn.Module):
    """cbam.ChannelGate in the layers that torch has for it."""

    def __init__(self, gate: cbam.ChannelGate) -> None:
        super().__init__()
        self.mlp = gate.mlp

    def forward(self, x: Tensor) -> Tensor:
        average = F.adaptive_avg_pool2d(x, 1).flatten(1)
        top = F.adaptive_max_pool2d(x, 1).flatten(1)
        attention = torch.sigmoid(self.mlp(average) + self.mlp(top))
        return x * attention[:, :, None, None]


class SpatialGate(nn.Module):
    """cbam.SpatialGate in the layers that torch has for it."""

    def __init__(self, gate: cbam.SpatialGate) -> None:
        super().__init__()
        self.conv, self.norm = gate.conv, gate.norm

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([torch.max(x, dim=1, keepdim=True)[0], torch.mean(x, dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.norm(self.conv(pooled)))


def plainly(model: nn.Module) -> nn.Module:
    """Write a network, in place, as usual: ReLU before pooling, CBAM in torch's own layers, the same parameters."""
    if isinstance(model, ResNet):
        model.relu, model.maxpool = nn.ReLU6(inplace=True), model.maxpool[0]
    for name, module in list(model.named_modules()):
        if isinstance(module, cbam.ChannelGate):
            model.set_submodule(name, ChannelGate(module))
        if isinstance(module, cbam.SpatialGate):
            model.set_submodule(name, SpatialGate(module))
    return model


def trainer(
    model: nn.Module, clips: ClipFiles, batch_size: int, device: torch.device, workers: int
) -> Callable[[int], None]:
    """A function that trains the model for the number of steps it is given."""
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        clips, batch_size, shuffle=True, drop_last=True, num_workers=workers, pin_memory=on_gpu, persistent_workers=True
    )
    batches, rng, losses = endless(loader), np.random.default_rng(0), []

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


def endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader


def mixup(inputs: Tensor, targets: Tensor, rng: np.random.Generator, alpha: float = 0.4) -> tuple[Tensor, Tensor]:
    """Mix each sample of (B, 1, n_mels, T) and its targets (B, C) with another one."""
    lambdas = [rng.beta(alpha, alpha) for _ in inputs]
    partners = rng.permutation(len(inputs))
    mixed_inputs, mixed_targets = [], []
    for i, lam in enumerate(lambdas):
        lam = max(lam, 1 - lam)
        mixed_inputs.append(lam * inputs[i] + (1 - lam) * inputs[partners[i]])
        mixed_targets.append(lam * targets[i] + (1 - lam) * targets[partners[i]])
    return torch.stack(mixed_inputs), torch.stack(mixed_targets)


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


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Element-wise BCE of (B, C), each sample weighted by the sum of its targets."""
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * targets.sum(dim=1, keepdim=True)).sum() / targets.sum()


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
def predict(model: nn.Module, clips: list[np.ndarray], width: int, tta: int, device: torch.device) -> np.ndarray:
    """Mean probability over `tta` evenly spaced crops of each clip (n_mels, frames), one clip at a time: (N, C)."""
    model.to(device).eval()
    rows = []
    for features in clips:
        spare = features.shape[1] - width
        starts = [0] if spare <= 0 else np.linspace(0, spare, tta).round().astype(int)
        crops = np.stack([features[:, start : start + width] for start in starts])
        logits = model(torch.from_numpy(crops)[:, None].to(device))
        rows.append(torch.sigmoid(logits).mean(dim=0).cpu().numpy())
    return np.stack(rows)
