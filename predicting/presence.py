"""From scores to presence: which scores mean that a class sounds.

A network ranks the labels of a clip; how high a score is when its label is right depends on the recipe and the class.
So after training, clips that the fold held out are mixed into what recordings hold: single sounds, two at once, parts
of sounds, noise, at many levels.  On these a threshold is chosen for each class, and scores are mapped to
probabilities (Platt 1999).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from loaders.clips import Clips
from loaders.levels import change_level
from loaders.pcen import AudioSettings, pcen_mel
from predicting.metrics import log_odds

SPAN = 197  # frames, two seconds: the least width of a recording's crops, whatever the width in training
KINDS = {"single": 0.2, "pair": 0.4, "part": 0.1, "noise": 0.3}  # of calibration crops
LEAST = 200  # calibration crops
CROPS_A_CLIP, CROPS_A_CLASS = 20, 40  # at most
LEVELS_DB = -30.0, 0.0  # of a sound, against its clip's own level
FAINTER_DB = -12.0, 0.0  # of the second of two sounds, against the first
NOISES_DB = -130.0, -30.0  # RMS of noise; after a loud sound PCEN has it as if it were quieter
COLOURS = 0.0, 1.0, 2.0  # exponents of 1 / f: white, pink, brown noise
LEAST_PART = 1 / 3  # of a crop that must hold a sound for its labels to count
SHRINKAGE = 1.0  # classes of average counts that a class's own counts are joined with
SPREAD = 0.1  # expected standard deviation of the classes' offsets, in logits
GRID = np.linspace(0.02, 0.98, 97)  # thresholds to choose from


class Presence(NamedTuple):
    """What turns a network's scores into answers."""

    thresholds: Tensor  # (C,) float32, in scores
    slope: Tensor  # (): the probability of a score p is sigmoid(slope * logit(p) + offset of its class)
    offsets: Tensor  # (C,)


def span_of(width: int) -> int:
    """Frames of a crop of a recording, for a network that was trained on crops of `width` frames.

    A sound is told better from two seconds of it than from less, by a network that pools over whatever it gets.
    """
    return max(width, SPAN)


def fit_presence(
    clips: Clips, truth: np.ndarray, width: int, settings: AudioSettings, rng: np.random.Generator,
    predict: Callable[[Clips], np.ndarray],
) -> Presence:  # fmt: skip
    """Thresholds and calibration of a network, on mixes of clips and their labels (N, C) that it was not trained on.

    predict: clips of one crop each, `width` frames -> scores (n, C).
    """
    crops, labels = calibration_set(clips, truth, width, settings, rng)
    scores = predict(crops)
    return Presence(torch.from_numpy(choose_thresholds(scores, labels)), *fit_calibration(scores, labels))


def choose_thresholds(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """For each class the threshold with the highest F1: (C,) float32.

    scores, truth: (n, C).  Each class's counts are joined with SHRINKAGE times those of an average class, so that a
    class with few clips has about the threshold of all.
    """
    hits, claims = np.zeros((2, len(GRID), truth.shape[1]))
    for i, threshold in enumerate(GRID):
        above = scores >= threshold
        hits[i], claims[i] = (above & truth).sum(axis=0), above.sum(axis=0)
    hits, claims, there = (
        each + SHRINKAGE * each.mean(axis=-1, keepdims=True) for each in (hits, claims, truth.sum(axis=0))
    )
    return GRID[(2 * hits / (claims + there).clip(1e-9)).argmax(axis=0)].astype(np.float32)


def fit_calibration(scores: np.ndarray, truth: np.ndarray) -> tuple[Tensor, Tensor]:
    """Slope () and offsets (C,) under which the labels are most likely.  scores, truth: (n, C).

    Offsets are shrunk towards each other: a class with few clips keeps nearly that of all.
    """
    logits, targets = torch.from_numpy(log_odds(scores)), torch.from_numpy(truth).double()
    slope, base = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    own = torch.zeros(truth.shape[1], dtype=torch.float64)
    parameters = [each.requires_grad_() for each in (slope, base, own)]
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def misfit() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(slope * logits + base + own, targets, reduction="sum")
        loss = loss + (own**2).sum() / (2 * SPREAD**2)
        loss.backward()
        return loss

    optimizer.step(misfit)
    return slope.detach()[0].float(), (base + own).detach().float()


def calibration_set(
    clips: Clips, truth: np.ndarray, width: int, settings: AudioSettings, rng: np.random.Generator
) -> tuple[Clips, np.ndarray]:
    """Clips of one crop each as recordings hold them, and their labels (n, C) bool, made of clips and their labels."""
    n = max(min(CROPS_A_CLIP * len(clips), CROPS_A_CLASS * truth.shape[1]), LEAST)
    first, second = rng.integers(len(clips), size=(2, n))
    level = rng.uniform(*LEVELS_DB, n)
    one = at_level(random_crops(clips, first, width, rng), level)
    other = at_level(random_crops(clips, second, width, rng), level + rng.uniform(*FAINTER_DB, n))
    noise = noise_crops(width, settings, n, rng)
    kind, share = rng.choice(list(KINDS), n, p=list(KINDS.values())), rng.uniform(0, 1, n)
    time = np.arange(width) / width
    inside = np.where((rng.random(n) < 0.5)[:, None], time < share[:, None], time >= 1 - share[:, None])
    is_kind = {name: torch.from_numpy(kind == name).view(-1, 1, 1, 1) for name in KINDS}
    inputs = torch.where(is_kind["pair"], torch.maximum(one, other), one)
    inputs = torch.where(is_kind["part"] & ~torch.from_numpy(inside)[:, None, None] | is_kind["noise"], noise, inputs)
    sounds = (kind != "noise") & ((kind != "part") | (share >= LEAST_PART))
    labels = truth[first] & sounds[:, None] | truth[second] & (kind == "pair")[:, None]
    pack = inputs[:, 0].transpose(1, 2).flatten(0, 1).half().contiguous()  # (n * width, n_mels)
    zeros = np.zeros(n, int)
    return Clips([""] * n, (pack,), zeros, np.arange(n) * width, np.full(n, width), zeros.astype(str)), labels


def random_crops(clips: Clips, chosen: np.ndarray, width: int, rng: np.random.Generator) -> Tensor:
    """A crop (n, 1, n_mels, width) of each of the chosen clips (n,)."""
    spare = np.maximum(clips.lengths[chosen] - width, 0)
    return clips.crops(chosen, rng.integers(0, spare + 1), width, torch.device("cpu"))


def at_level(inputs: Tensor, level: np.ndarray) -> Tensor:
    """PCEN (n, 1, n_mels, T) as if each recording were so many dB (n,) louder."""
    return change_level(inputs, torch.from_numpy(10 ** (level / 20)).float())


def noise_crops(width: int, settings: AudioSettings, n: int, rng: np.random.Generator) -> Tensor:
    """PCEN (n, 1, n_mels, width) of noise of several colours and levels; of silence where librosa is not installed."""
    try:
        import librosa.filters  # noqa: F401  what pcen_mel needs, and training on features that are there does not
    except ImportError:
        return torch.zeros(n, 1, settings.n_mels, width)
    size, recordings = (2 * width + 50) * settings.hop_length, []
    for colour in COLOURS:
        spectrum = np.fft.rfft(rng.standard_normal(size))
        samples = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** (-colour / 2), size)
        samples /= np.sqrt(np.mean(samples**2))
        recordings.append(torch.from_numpy(pcen_mel(samples.astype(np.float32), settings)))  # (frames, n_mels)
    features = torch.stack(recordings)  # (colours, frames, n_mels)
    colour, start = rng.integers(len(COLOURS), size=n), rng.integers(0, features.shape[1] - width, n)
    rows = torch.from_numpy(start[:, None] + np.arange(width))
    crops = features[torch.from_numpy(colour)[:, None], rows]  # (n, width, n_mels)
    return at_level(crops.transpose(1, 2).unsqueeze(1), rng.uniform(*NOISES_DB, n))
