"""Streams: the features of a recording that is never held whole are those of the whole."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.audio import UnusableClipError, read_mono, wrap
from loaders.pcen import AudioSettings, pcen_mel, pcen_stream
from tagging.stream import is_silent, read_seconds, second_levels, stream_features

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
    seconds, whole = list(read_seconds(path, LOW)), read_mono(path, 8000)
    np.testing.assert_array_equal(np.concatenate(seconds), whole)
    assert {len(second) for second in seconds[:-1]} <= {8000}
    assert 1 <= len(seconds[-1]) <= 8000


@pytest.mark.parametrize("n", [1, 7999, 8000, 15_999, 16_000, 16_001, 50_000])
def test_features_of_a_stream_are_those_of_an_untrimmed_clip(n):
    samples = noise(n)
    streamed = np.concatenate(list(stream_features(in_blocks(samples, [8000] * 10), LOW)))
    assert streamed.dtype == np.float16
    np.testing.assert_array_equal(streamed, pcen_mel(wrap(samples, 16_000), LOW).astype(np.float16))


@pytest.mark.parametrize("level", [-80, -20])
@pytest.mark.parametrize("silence", [0, 3])
@pytest.mark.parametrize("audio", [LOW, FULL])
def test_steady_noise_looks_the_same_at_the_start_of_a_recording_as_later(audio, level, silence):
    rate = audio.sampling_rate
    steady = np.random.default_rng(0).normal(0, 10 ** (level / 20), (30, rate)).astype(np.float32)
    steady[:silence] = 0
    features = np.concatenate(list(stream_features(iter(steady), audio))).astype(np.float32)
    later = features[1300:].mean(axis=0)
    if silence:
        assert not features[:290].any()
    for start in range(900, 1100, 100) if silence else range(0, 400, 100):
        np.testing.assert_allclose(features[start : start + 100].mean(axis=0), later, rtol=0.1)


def test_a_recording_longer_than_any_clip_may_be_is_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr("loaders.audio.LONGEST", 2.0)
    sf.write(tmp_path / "x.wav", noise(20_000), 8000)
    with pytest.raises(UnusableClipError, match="longer than 2 seconds"):
        read_mono(tmp_path / "x.wav", 8000)
    assert sum(map(len, read_seconds(tmp_path / "x.wav", LOW))) == 20_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_a_bad_sample_far_into_a_recording_is_found(tmp_path, bad):
    samples = noise(400_000)
    samples[390_000] = bad
    sf.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(UnusableClipError, match="holds samples"):
        list(read_seconds(tmp_path / "x.wav", LOW))


STREAM = """
import sys, numpy as np
from loaders.pcen import AudioSettings
from tagging.stream import stream_features
audio = AudioSettings(8000, 16)
seconds = (np.random.default_rng(i).uniform(-1, 1, 8000).astype(np.float32) for i in range(int(sys.argv[1])))
print(sum(map(len, stream_features(seconds, audio))), __import__("resource").getrusage(0).ru_maxrss)
"""


def test_an_hour_takes_no_more_memory_than_a_minute(request):
    def frames_and_memory(n_seconds: int) -> list[int]:
        done = subprocess.run(
            [sys.executable, "-c", STREAM, str(n_seconds)],
            cwd=request.config.rootpath, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        return [int(word) for word in done.stdout.split()]

    minute, hour = frames_and_memory(60), frames_and_memory(3600)
    assert (minute[0], hour[0]) == (6001, 360_001)
    assert hour[1] - minute[1] < 20_000  # kB; an hour of samples is 115 MB


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
    assert is_silent(samples.astype(np.float32)) == silent


def test_levels_of_a_second_and_of_a_part_of_one():
    rising = np.repeat(np.arange(10) / 10, 800) * np.tile([1, -1], 4000)
    np.testing.assert_allclose(second_levels(rising.astype(np.float32)), np.arange(10) / 10, atol=1e-6)
    np.testing.assert_array_equal(second_levels(np.float32([0.5, -0.5])), np.zeros(10))
