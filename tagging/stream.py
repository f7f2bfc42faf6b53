"""A recording of any length -> whole seconds of samples, what is silence in them, and features as they come."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from loaders.audio import mono_blocks, wrap
from loaders.pcen import AudioSettings, pcen_stream

SILENT = 1e-4  # of full scale, -80 dB: three steps of 16 bits, so that dither counts as silence
PARTS = 10  # levels of a second


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


def second_levels(second: np.ndarray) -> np.ndarray:
    """Half the range of the samples in each tenth of a second: (PARTS,) float32, 1 at full scale, 0 where constant.

    The range and not the peak, since a constant offset cannot be heard.
    """
    parts = [part for part in np.array_split(second, PARTS) if len(part)]
    levels = [(float(part.max()) - float(part.min())) / 2 for part in parts]
    return np.pad(np.array(levels, np.float32), (0, PARTS - len(parts)))


def is_silent(second: np.ndarray) -> bool:
    """Whether samples (n,) are digital silence, or nearly so."""
    return (float(second.max()) - float(second.min())) / 2 < SILENT


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
