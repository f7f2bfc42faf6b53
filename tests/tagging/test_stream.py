"""Streams: the features of a recording that is never held whole are those of the whole."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.audio import UnusableClipError, read_mono, wrap
from loaders.pcen import AudioSettings, pcen_mel, pcen_stream
from tagging import stream

LOW, FULL = AudioSettings(sampling_rate=8000, n_mels=16), AudioSettings(n_mels=32)


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Bursts of noise between -1 and 1, loud and quiet ones."""
    rng = np.random.default_rng(seed)
    loudness = 10 ** -rng.uniform(0, 4, n // 3000 + 1)
    return (rng.uniform(-1, 1, n) * np.repeat(loudness, 3000)[:n]).astype(np.float32)


def in_blocks(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    edges = np.cumsum(sizes)
    return np.split(samples, edges[edges < len(samples)])


@given(
    n=st.integers(1, 30_000),
    sizes=st.lists(st.integers(0, 5000), max_size=30),
    seed=st.integers(0, 99),
    audio=st.sampled_from([LOW, FULL]),
)
def test_features_of_blocks_of_any_sizes_equal_those_of_the_whole(n, sizes, seed, audio):
    samples = noise(n, seed)
    parts = list(pcen_stream(in_blocks(samples, sizes), audio))
    np.testing.assert_allclose(np.concatenate(parts), pcen_mel(samples, audio), rtol=0, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(10, 60_000), st.sampled_from([8000, 11025, 48000]))
def test_a_file_second_by_second_is_the_file(tmp_path_factory, n, rate):
    path = tmp_path_factory.mktemp("stream") / "x.wav"
    sf.write(path, noise(n), rate, subtype="FLOAT")
    seconds, whole = list(stream.read_seconds(path, LOW)), read_mono(path, 8000)
    np.testing.assert_array_equal(np.concatenate(seconds), whole)
    assert {len(second) for second in seconds[:-1]} <= {8000}
    assert 1 <= len(seconds[-1]) <= 8000


def test_features_of_a_stream_are_those_of_an_untrimmed_clip():
    for n in (1, 7999, 8000, 15_999, 16_000, 16_001, 50_000):
        samples = noise(n)
        streamed = np.concatenate(list(stream.stream_features(in_blocks(samples, [8000] * 10), LOW)))
        np.testing.assert_array_equal(streamed, pcen_mel(wrap(samples, 16_000), LOW).astype(np.float16))


@given(n=st.integers(1, 3000), width=st.integers(1, 400), step=st.integers(1, 100), size=st.integers(1, 500))
def test_crops_go_from_the_first_to_the_last_frame_in_equal_steps(n, width, step, size):
    frames = np.arange(n)[:, None]
    crops = list(stream.stream_crops(np.split(frames, range(size, n, size)), width, step))
    last = max(n - width, 0)
    assert [first for first, _ in crops] == sorted({*range(0, last + 1, step), last})
    for first, crop in crops:
        np.testing.assert_array_equal(crop, frames[first : first + width])


def test_a_row_has_the_mean_of_the_crops_over_it_by_their_overlap():
    starts, probabilities = np.array([0.0, 0.5, 1.0]), np.array([[0.0], [0.4], [1.0]])
    made = stream.mean_per_row(starts, 1.0, probabilities, 2)
    np.testing.assert_allclose(made, [[(0 * 1 + 0.4 * 0.5) / 1.5], [(0.4 * 0.5 + 1 * 1) / 1.5]], rtol=1e-6)


@given(length=st.floats(0.05, 12), duration=st.floats(0.05, 40))
def test_every_row_of_a_recording_has_a_score_and_a_constant_one_stays(length, duration):
    starts = np.append(np.arange(0, max(duration - length, 0), length / 2), max(duration - length, 0))
    made = stream.mean_per_row(starts, length, np.full((len(starts), 2), 0.3), int(np.ceil(duration)))
    np.testing.assert_allclose(made, 0.3, rtol=1e-6)


def listener(width: int) -> SimpleNamespace:
    """Stands in for an ensemble: the probability of a crop is its mean."""

    def predict(features: list[np.ndarray], batch_size: int, tta: int, width: int) -> np.ndarray:
        assert len(features) <= batch_size
        return np.array([[crop.mean(dtype=float)] for crop in features])

    return SimpleNamespace(width=width, settings=LOW, predict=predict)


def test_rows_are_seconds_and_are_empty_where_it_is_silent():
    """6.35 s, the third second of which is silent."""
    samples = noise(50_800) + np.float32(1e-3) * np.tile([1, -1], 25_400).astype(np.float32)
    samples[16_000:24_000] = 0.25  # a constant offset is no sound
    made = stream.score_recording(np.split(samples, range(8000, 50_800, 8000)), listener(60), 8)
    assert (made.scores.shape, made.levels.shape) == ((7, 1), (7, stream.PARTS))
    assert np.flatnonzero(np.isnan(made.scores[:, 0])).tolist() == [2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_a_bad_sample_far_into_a_recording_longer_than_any_clip_is_found(tmp_path, monkeypatch, bad):
    monkeypatch.setattr("loaders.audio.LONGEST", 2.0)
    samples = noise(400_000)
    sf.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    assert sum(map(len, stream.read_seconds(tmp_path / "x.wav", LOW))) == 400_000
    samples[390_000] = bad
    sf.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(UnusableClipError, match="holds samples"):
        list(stream.read_seconds(tmp_path / "x.wav", LOW))


def test_five_minutes_take_no_more_memory_than_one():
    def peak(n_seconds: int) -> int:
        seconds = (np.random.default_rng(i).uniform(-1, 1, 8000).astype(np.float32) for i in range(n_seconds))
        tracemalloc.reset_peak()
        assert len(stream.score_recording(seconds, listener(100), 32).scores) == n_seconds
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    one, five = peak(60), peak(300)
    tracemalloc.stop()
    assert five - one < 2e6  # bytes; the samples of four minutes are 7.7 MB


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros(8000), True),
        (np.full(8000, 0.5), True),
        (np.random.default_rng(0).integers(-1, 2, 8000) / 32768, True),
        (0.001 * np.sin(np.arange(8000)), False),
        (np.eye(1, 8000, 4000)[0] * 0.01, False),
    ],
    ids=["zeros", "a constant", "dither of 16 bits", "a tone 60 dB down", "a click"],
)
def test_digital_silence_is_told_from_quiet_sounds(samples, silent):
    assert (stream.second_levels(samples.astype(np.float32), 8000) < stream.SILENT).all() == silent


@pytest.mark.parametrize("rate", [8000, 11025, 8001])
def test_levels_of_a_second_and_of_a_part_of_one(rate):
    rising = (np.arange(rate) / rate * (-1) ** np.arange(rate)).astype(np.float32)
    levels = stream.second_levels(rising, rate)
    np.testing.assert_allclose(levels, (np.arange(stream.PARTS) + 1) / stream.PARTS, atol=0.001)
    np.testing.assert_array_equal(stream.second_levels(rising[: rate // 4], rate), levels[: stream.PARTS // 4])
