"""Sound files -> the probability of each class, of the whole file and of each of its seconds.

Clips are predicted as by test.py: trimmed, `tta` crops each, batched across files.  What is longer than LONG is
never held whole: it is not trimmed, it is cut into crops half a crop (at most a second) apart, and its scores are the
mean over its seconds that are not silent.  Timelines are made that way of every file, whatever its length.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from loaders.audio import UnusableClipError
from loaders.clip_features import sample_features
from loaders.clips import Clips
from loaders.listing import list_sounds
from tagging.ensemble import Ensemble
from tagging.stream import is_silent, read_seconds, second_levels, stream_features
from utils.errors import UserError, one_line

LONG = 60  # seconds
CROPS = 64  # of a long recording at a time, or a batch if that is more


@dataclass(frozen=True)
class Timeline:
    """A recording of S seconds, the last of which may be a part."""

    scores: np.ndarray  # (S, C) float32 in [0, 1]; NaN where a second is silent
    levels: np.ndarray  # (S, PARTS) float32: half the range of the samples


@dataclass(frozen=True)
class Tagged:
    """What became of a file: scores, or the reason why it has none."""

    path: Path
    scores: np.ndarray | None = None  # (C,) float32 in [0, 1]; NaN where all of it is silent
    timeline: Timeline | None = None
    reason: str = ""
    remark: str = ""  # what is odd about a file that has scores


def find_audio(paths: Iterable[str | Path]) -> list[Path]:
    """Files as named, and the sound files in folders (see `list_sounds`), sorted; each once."""
    found: list[Path] = []
    for path in map(Path, paths):
        is_folder = os.path.isdir(path)  # unlike Path.is_dir, takes names that are too long for a file system
        inside = sorted(path / name for name in list_sounds(path)) if is_folder else [path]
        if not inside:
            raise UserError(f"{path} holds no sound files")
        found += inside
    return list(dict.fromkeys(found))


def tag_files(
    paths: list[Path], ensemble: Ensemble, tta: int = 8, batch_size: int = 32, timelines: bool = False
) -> Iterator[Tagged]:
    """Each file's scores, in order.  timelines: those of short files too; long ones have theirs anyway."""
    waiting: list[tuple[Tagged, np.ndarray | None]] = []  # files, and the features of those yet to be scored
    for path in paths:
        waiting.append(_read(path, ensemble, batch_size, timelines))
        if len(waiting) == batch_size or waiting[-1][0].timeline is not None:
            yield from _score(waiting, ensemble, tta, batch_size)
            waiting = []
    yield from _score(waiting, ensemble, tta, batch_size)


def _read(path: Path, ensemble: Ensemble, batch_size: int, timelines: bool) -> tuple[Tagged, np.ndarray | None]:
    """A file, scored if it is long or silent; else with its features (frames, n_mels)."""
    try:
        if any("\ud800" <= letter <= "\udfff" for letter in str(path)):  # how Python spells bytes that are no UTF-8
            raise UnusableClipError("its name is not UTF-8, and could not stand in a table; rename it")
        remarks: list[str] = []
        seconds = read_seconds(path, ensemble.settings, remarks)
        head = list(islice(seconds, LONG + 1))
        long = len(head) > LONG
        timeline = _score_seconds(path, chain(head, seconds), ensemble, batch_size) if long or timelines else None
        tagged = Tagged(path, None, timeline, remark="; ".join(remarks))
        if np.isnan(timeline.scores).all() if timeline else all(map(is_silent, head)):
            return replace(tagged, scores=np.full(len(ensemble.class_names), np.nan, np.float32)), None
        if long:
            return replace(tagged, scores=np.nanmean(timeline.scores, axis=0)), None
        return tagged, _finite(sample_features(np.concatenate(head), ensemble.settings))
    except UnusableClipError as error:
        return Tagged(path, reason=str(error)), None


def _score(
    files: list[tuple[Tagged, np.ndarray | None]], ensemble: Ensemble, tta: int, batch_size: int
) -> Iterator[Tagged]:
    """Fill in the scores of the files that come with features."""
    features = [clip for _, clip in files if clip is not None]
    if features:
        lengths = np.array([len(clip) for clip in features])
        clips = _clips(np.concatenate(features), np.cumsum(lengths) - lengths, lengths)
        rows = iter(ensemble.predict(clips, batch_size, tta))
    for tagged, clip in files:
        yield tagged if clip is None else replace(tagged, scores=next(rows))


def _score_seconds(path: Path, seconds: Iterable[np.ndarray], ensemble: Ensemble, batch_size: int) -> Timeline:
    levels, silent = [], []

    def noted() -> Iterator[np.ndarray]:
        for second in tqdm(seconds, desc=one_line(path.name, 40), unit="s", disable=None, leave=False, delay=2):
            levels.append(second_levels(second))
            silent.append(is_silent(second))
            yield second

    first, probabilities = _score_crops(stream_features(noted(), ensemble.settings), ensemble, batch_size)
    hop = ensemble.settings.hop_length / ensemble.settings.sampling_rate  # seconds
    scores = mean_per_second(first * hop, ensemble.width * hop, probabilities, len(levels))
    scores[np.array(silent)] = np.nan
    return Timeline(scores, np.stack(levels))


def _score_crops(blocks: Iterable[np.ndarray], ensemble: Ensemble, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """First frames (n,) of crops from the first to the last frame, and their probabilities (n, C).

    Holds the frames of CROPS crops or of a batch, never all.  What is shorter than a crop is repeated.
    """
    width, step = ensemble.width, max(min(ensemble.width // 2, 100), 1)
    held, at = np.zeros((0, ensemble.settings.n_mels), np.float16), 0  # frames, and which the first of them is
    following, firsts, tables = 0, [], []

    def score(first: np.ndarray) -> None:
        length = min(width, len(held))
        clips = _clips(held, first - at, np.full(len(first), length))
        firsts.append(first)
        tables.append(ensemble.predict(clips, batch_size, tta=1))

    for block in blocks:
        held = np.concatenate([held, _finite(block)])
        ready = np.arange(following, at + len(held) - width + 1, step)
        if len(ready) >= max(CROPS, batch_size):
            score(ready)
            following = int(ready[-1]) + step
            held, at = held[ready[-1] - at :], int(ready[-1])  # one crop back: the last ends at the last frame
    last = max(at + len(held) - width, 0)
    if not firsts or last > firsts[-1][-1]:
        score(np.unique(np.append(np.arange(following, last, step), last)))
    return np.concatenate(firsts), np.concatenate(tables)


def mean_per_second(starts: np.ndarray, length: float, probabilities: np.ndarray, n_seconds: int) -> np.ndarray:
    """Probabilities (n, C) of crops that start at `starts` (n,) and are `length` long, both in seconds -> (S, C).

    Each second gets the mean of the crops that it lies in, weighted by how much of them lies in it.
    """
    sums, weights = np.zeros((n_seconds, probabilities.shape[1])), np.zeros((n_seconds, 1))
    for ahead in range(int(np.ceil(length)) + 1):
        second = np.floor(starts).astype(int) + ahead
        overlap = np.minimum(starts + length, second + 1) - np.maximum(starts, second)
        inside = (overlap > 0) & (second < n_seconds)
        np.add.at(sums, second[inside], overlap[inside, None] * probabilities[inside])
        np.add.at(weights, second[inside], overlap[inside, None])
    return (sums / weights).astype(np.float32)


def _clips(features: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Clips:
    n = len(starts)
    return Clips([""] * n, (torch.from_numpy(features),), np.zeros(n, int), starts, lengths, np.full(n, ""))


def _finite(features: np.ndarray) -> np.ndarray:
    if not np.isfinite(features).all():
        raise UnusableClipError("its features are not finite")
    return features
