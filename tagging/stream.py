"""A recording of any length -> the probability of each class in each second of it.

It is read and scored second by second, so an hour takes no more memory than a minute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from loaders.audio import mono_blocks, wrap
from loaders.pcen import AudioSettings, pcen_stream
from predicting.presence import span_of
from tagging.ensemble import Ensemble

SILENT = 1e-4  # of full scale, -80 dB: three steps of 16 bits, so that dither counts as silence
PARTS = 20  # of a second, each with its level


@dataclass(frozen=True)
class Timeline:
    """A recording as a row per second, the last of which may be a part."""

    scores: np.ndarray  # (R, C) float32 in [0, 1]; NaN where a row is silent
    levels: np.ndarray  # (R, PARTS) float32: see second_levels
    seconds: float = np.inf  # how long it is


def score_recording(seconds: Iterable[np.ndarray], ensemble: Ensemble, batch_size: int) -> Timeline:
    """Scores of a recording that comes as from `read_seconds`.

    It is cut into crops of two seconds, or as long as in training, half a crop or a second apart, whichever is less.
    A row has the mean of the crops over it.
    """
    levels, lengths, settings = [], [], ensemble.settings

    def noted() -> Iterator[np.ndarray]:
        for second in seconds:
            levels.append(second_levels(second, settings.sampling_rate))
            lengths.append(len(second))
            yield second

    width = span_of(ensemble.width)
    crops = stream_crops(stream_features(noted(), settings), width, min(width // 2, 100))  # a second has 100 frames
    starts, tables = [], []
    while batch := list(islice(crops, batch_size)):
        starts += [start for start, _ in batch]
        tables.append(ensemble.predict([crop for _, crop in batch], batch_size, tta=1, width=width))
    parts = np.concatenate(levels)
    rows = np.pad(parts, (0, -len(parts) % PARTS)).reshape(-1, PARTS)
    hop = settings.hop_length / settings.sampling_rate  # rows in a frame
    scores = mean_per_row(np.array(starts) * hop, width * hop, np.concatenate(tables), len(rows))
    scores[(rows < SILENT).all(axis=1)] = np.nan
    return Timeline(scores, rows, sum(lengths) / settings.sampling_rate)


def read_seconds(path: Path, settings: AudioSettings, remarks: list[str] | None = None) -> Iterator[np.ndarray]:
    """Samples (sampling_rate,) float32 of one second after the other; the last may be shorter, none is empty.

    remarks: gets what is odd about a file that can be used, when the last second has come.
    Raises UnusableClipError as `mono_blocks` does, when it comes to the broken place.
    """
    held, sampling_rate = np.zeros(0, np.float32), settings.sampling_rate
    for block in mono_blocks(path, sampling_rate, settings.cancel_db, remarks):
        held = np.concatenate([held, block])
        whole = len(held) // sampling_rate * sampling_rate
        yield from held[:whole].reshape(-1, sampling_rate)
        held = held[whole:]
    if len(held):
        yield held


def second_levels(second: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Half the range of the samples (n,) in each of the PARTS of a second: float32, 1 at full scale, 0 where constant.

    The range and not the peak, since a constant offset cannot be heard.  Of the last second only the parts that are
    there.
    """
    starts = np.arange(PARTS) * sampling_rate // PARTS
    starts = starts[starts < len(second)]
    return (np.maximum.reduceat(second, starts) - np.minimum.reduceat(second, starts)) / 2


def stream_features(seconds: Iterable[np.ndarray], settings: AudioSettings) -> Iterator[np.ndarray]:
    """Features (frames, n_mels) float16 of a recording that comes second by second, in memory that does not grow.

    As those of a clip, but silence around it is not trimmed: the loudest frame is not known before the end.  A
    recording shorter than the shortest clip is repeated.
    """
    shortest = round(settings.shortest * settings.sampling_rate)
    seconds = iter(seconds)
    head = list(islice(seconds, -(-shortest // settings.sampling_rate)))
    start = wrap(np.concatenate(head), shortest) if head else np.zeros(shortest, np.float32)
    for features in pcen_stream(chain([start], seconds), settings):
        yield features.astype(np.float16)


def stream_crops(blocks: Iterable[np.ndarray], width: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Crops `step` frames apart of blocks (frames, n_mels), each with its first frame; the last ends at the last frame.

    What is shorter than a crop is given whole.
    """
    held, at, start = np.zeros(0), 0, 0  # frames, which the first of them is, where the next crop starts
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while start + width <= at + len(held):
            yield start, held[start - at :][:width]
            start += step
        over = max(start - step - at, 0)  # all but the latest crop and what follows: the last one needs those
        held, at = held[over:], at + over
    last = max(at + len(held) - width, 0)
    if last > start - step:
        yield last, held[last - at :]


def mean_per_row(starts: np.ndarray, length: float, probabilities: np.ndarray, n_rows: int) -> np.ndarray:
    """Probabilities (n, C) of crops that start at `starts` (n,) and are `length` long, both in rows -> (R, C) float32.

    Each row gets the mean of the crops that it lies in, weighted by how much of them lies in it.
    """
    sums, weights = np.zeros((n_rows, probabilities.shape[1])), np.zeros((n_rows, 1))
    for ahead in range(int(np.ceil(length)) + 1):
        row = np.floor(starts).astype(int) + ahead
        overlap = np.minimum(starts + length, row + 1) - np.maximum(starts, row)
        inside = (overlap > 0) & (row < n_rows)
        np.add.at(sums, row[inside], overlap[inside, None] * probabilities[inside])
        np.add.at(weights, row[inside], overlap[inside, None])
    return (sums / weights).astype(np.float32)
