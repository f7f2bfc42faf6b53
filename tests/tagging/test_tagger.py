"""Tagging below the command line: crops of a stream, their mean per second, and what is held of an hour."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loaders.clips import Clips
from loaders.pcen import AudioSettings
from predicting.tta import crop_starts
from tagging import tagger
from tagging.tagger import mean_per_second

N_MELS = 4


class Listener:
    """Stands in for an ensemble: the probability of a crop is its mean, and the largest array it was given is kept."""

    def __init__(self, width: int) -> None:
        self.width, self.settings, self.largest = width, AudioSettings(n_mels=N_MELS), 0

    def predict(self, clips: Clips, batch_size: int, tta: int) -> np.ndarray:
        self.largest = max(self.largest, len(clips.packs[0]))
        first = [crop_starts(int(length), self.width, tta)[0] for length in clips.lengths]
        crops = clips.crops(np.arange(len(clips)), np.array(first), self.width, torch.device("cpu"))
        return crops.mean(dim=(1, 2, 3)).numpy()[:, None]


@given(n=st.integers(1, 3000), width=st.integers(1, 400), size=st.integers(1, 500))
def test_crops_of_a_stream_are_those_of_the_whole_from_its_first_to_its_last_frame(n, width, size):
    features = np.random.default_rng(n).random((n, N_MELS)).astype(np.float16)
    listener = Listener(width)
    blocks = np.split(features, range(size, n, size))
    first, probabilities = tagger._score_crops(blocks, listener, batch_size=8)
    assert first[0] == 0
    assert first[-1] == max(n - width, 0)
    assert ((np.diff(first) > 0) & (np.diff(first) <= max(min(width // 2, 100), 1))).all()
    rows = (first[:, None] + np.arange(width)) % n
    np.testing.assert_allclose(probabilities[:, 0], features[rows].mean(axis=(1, 2), dtype=np.float32), atol=1e-5)


def test_of_an_hour_only_the_frames_of_some_crops_are_held():
    listener = Listener(width=200)
    hour = (np.zeros((100, N_MELS), np.float16) for _ in range(3600))
    first, _ = tagger._score_crops(hour, listener, batch_size=32)
    assert len(first) == 3599
    assert listener.largest < (tagger.CROPS + 4) * 100


def test_a_second_gets_the_mean_of_the_crops_over_it_by_their_overlap():
    starts, probabilities = np.array([0.0, 0.5, 1.0]), np.array([[0.0], [0.4], [1.0]])
    made = mean_per_second(starts, 1.0, probabilities, 2)
    np.testing.assert_allclose(made, [[(0 * 1 + 0.4 * 0.5) / 1.5], [(0.4 * 0.5 + 1 * 1) / 1.5]], rtol=1e-6)


@given(length=st.floats(0.05, 12), duration=st.floats(0.05, 40))
def test_every_second_of_a_recording_has_a_score_and_a_constant_one_stays(length, duration):
    step = length / 2
    starts = np.append(np.arange(0, max(duration - length, 0), step), max(duration - length, 0))
    made = mean_per_second(starts, length, np.full((len(starts), 2), 0.3), int(np.ceil(duration)))
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)


def test_features_that_are_not_finite_are_a_reason_not_to_use_a_file():
    with pytest.raises(tagger.UnusableClipError, match="not finite"):
        tagger._score_crops([np.full((10, N_MELS), np.nan, np.float16)], Listener(4), batch_size=8)


def test_a_file_is_tagged_in_order_whatever_its_length_and_state(monkeypatch, tmp_path):
    """Short ones wait for their batch; none overtakes another."""
    names = [f"{i}{kind}" for i in range(7) for kind in ("short", "broken", "long", "silent")]

    def read(path, ensemble, batch_size, timelines):
        kind = path.name[1:]
        scores = None if kind in ("short", "broken") else np.zeros(1)
        timeline = SimpleNamespace() if kind == "long" else None
        return tagger.Tagged(path, scores, timeline), np.ones((5, N_MELS), np.float16) if kind == "short" else None

    monkeypatch.setattr(tagger, "_read", read)
    made = list(tagger.tag_files([tmp_path / name for name in names], Listener(4), tta=1, batch_size=3))
    assert [file.path.name for file in made] == names
    assert [file.scores is None for file in made] == [name.endswith("broken") for name in names]
