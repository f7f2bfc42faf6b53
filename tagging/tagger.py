"""Sound files -> the probability of each class in each file.

Clips are predicted as by test.py: trimmed, `tta` crops each, batched across files.  What is longer than LONG is
never held whole: it is not trimmed, and its scores are the mean over its seconds that are not silent.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from loaders.audio import UnusableClipError
from loaders.clip_features import sample_features
from loaders.listing import list_sounds
from tagging.ensemble import Ensemble
from tagging.stream import SILENT, Timeline, read_seconds, score_recording, second_levels
from utils.errors import UserError, one_line

LONG = 60  # seconds


@dataclass(frozen=True)
class Tagged:
    """What became of a file."""

    path: Path
    scores: np.ndarray | None = None  # (C,) float32 in [0, 1], NaN where all of it is silent; None: it cannot be used
    timeline: Timeline | None = None
    remark: str = ""  # why it cannot be used, or what is odd about it
    features: np.ndarray | None = None  # (frames, n_mels) float16 of a file that is yet to be scored


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
    waiting: list[Tagged] = []
    for path in paths:
        waiting.append(_read(path, ensemble, batch_size, timelines))
        if len(waiting) == batch_size or waiting[-1].timeline is not None or path == paths[-1]:
            features = [file.features for file in waiting if file.features is not None]
            scores = iter(ensemble.predict(features, batch_size, tta) if features else [])
            for file in waiting:
                yield file if file.features is None else replace(file, scores=next(scores), features=None)
            waiting = []


def _read(path: Path, ensemble: Ensemble, batch_size: int, timelines: bool) -> Tagged:
    """A file, scored if it is long or silent; else with its features."""
    try:
        if any("\ud800" <= letter <= "\udfff" for letter in str(path)):  # how Python spells bytes that are no UTF-8
            raise UnusableClipError("its name is not UTF-8, and could not stand in a table; rename it")
        remarks: list[str] = []
        seconds, rate = read_seconds(path, ensemble.settings, remarks), ensemble.settings.sampling_rate
        head, timeline = list(islice(seconds, LONG + 1)), None
        if timelines or len(head) > LONG:
            label = one_line(path.name, 40)
            shown = tqdm(chain(head, seconds), desc=label, unit="s", disable=None, leave=False, delay=2)
            timeline = score_recording(shown, ensemble, batch_size)
        tagged = Tagged(path, None, timeline, remark="; ".join(remarks))
        levels = timeline.levels if timeline else np.concatenate([second_levels(second, rate) for second in head])
        if (levels < SILENT).all():
            return replace(tagged, scores=np.full(len(ensemble.class_names), np.nan, np.float32))
        if len(head) > LONG:
            return replace(tagged, scores=np.nanmean(timeline.scores, axis=0))
        return replace(tagged, features=sample_features(np.concatenate(head), ensemble.settings))
    except UnusableClipError as error:
        return Tagged(path, remark=str(error))
