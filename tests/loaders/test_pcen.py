"""Features against librosa's, the reference that section 4 of the design names."""

import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import pcen
from loaders.audio import trim_silence, wrap
from loaders.pcen import AudioSettings, pcen_mel

FULL, LOW = AudioSettings(), AudioSettings(sampling_rate=16000, n_mels=64)


def features(samples: np.ndarray, audio: AudioSettings) -> np.ndarray:
    trimmed = trim_silence(samples, audio.trim_db)
    return pcen_mel(wrap(trimmed, round(audio.shortest * audio.sampling_rate)), audio)


def reference(samples: np.ndarray, audio: AudioSettings) -> np.ndarray:
    """The same by librosa alone, with the design's numbers written out: (frames, n_mels)."""
    rate, hop = audio.sampling_rate, audio.sampling_rate // 100
    trimmed, _ = librosa.effects.trim(samples, top_db=60)
    if len(trimmed) < 2 * rate:
        trimmed = np.resize(trimmed, 2 * rate)
    mel = librosa.feature.melspectrogram(
        y=trimmed, sr=rate, power=1, hop_length=hop, n_fft={44100: 2048, 16000: 512}[rate],
        n_mels=audio.n_mels, fmin=20, fmax=min(22050, rate / 2), pad_mode="reflect",
    )  # fmt: skip
    smooth = {"gain": 0.5, "bias": 0.001, "power": 0.2, "time_constant": 0.4, "eps": 1e-9}
    frames = 0.4 * rate / hop
    b = (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    return librosa.pcen(mel, sr=rate, hop_length=hop, zi=(1 - b) * mel[:, :1], **smooth).T


def clip(kind: str, seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    rng, n = np.random.default_rng(seed), max(int(seconds * rate), 1)
    time = np.arange(n) / rate
    noise = rng.normal(size=n)
    samples = {
        "noise": 0.2 * noise,
        "bursts": 0.3 * noise * (np.sin(2 * np.pi * 3 * time) > 0.8),
        "sines": sum(0.2 * np.sin(2 * np.pi * f * time) for f in (110, 1234.5, 7000)),
        "quiet": 1e-4 * noise,
        "silence around": np.pad(0.2 * noise[: n // 3], (n // 4, n - n // 3 - n // 4)),
        "background around": 1e-5 * noise + np.pad(0.3 * noise[: n // 2], (n - n // 2, 0)),
        "silence": np.zeros(n),
        "click": np.eye(1, n, n // 2)[0],
    }[kind]
    return samples.clip(-1, 1).astype(np.float32)


KINDS = ["noise", "bursts", "sines", "quiet", "silence around", "background around", "silence", "click"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("audio", "seconds"), [(FULL, 3.1), (FULL, 0.4), (LOW, 9), (LOW, 0.01)])
def test_equals_librosa_on_realistic_clips(kind, audio, seconds):
    samples = clip(kind, seconds, audio.sampling_rate)
    assert features(samples, audio).dtype == np.float32
    np.testing.assert_allclose(features(samples, audio), reference(samples, audio), rtol=0, atol=1e-4)


@settings(max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    seconds=st.floats(0.001, 3),
    level=st.floats(-5, 0),
    seed=st.integers(0, 2**32 - 1),
    audio=st.sampled_from([FULL, LOW]),
)
def test_equals_librosa_on_random_clips(kind, seconds, level, seed, audio):
    samples = clip(kind, seconds, audio.sampling_rate, seed) * np.float32(10**level)
    np.testing.assert_allclose(features(samples, audio), reference(samples, audio), rtol=0, atol=1e-4)


@pytest.mark.parametrize("block", [1, 7, 201, 100_000])
def test_block_boundaries_do_not_matter(block, monkeypatch):
    samples = clip("noise", 2.003, 16000)
    whole = pcen_mel(samples, LOW)
    monkeypatch.setattr(pcen, "BLOCK", block)
    monkeypatch.setattr(pcen, "PIECE", 2 * block + 1)
    np.testing.assert_allclose(pcen_mel(samples, LOW), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 159, 160, 161, 511, 512, 513])
def test_clips_shorter_than_a_window_have_a_frame_per_hop(n):
    assert pcen_mel(np.ones(n, np.float32), LOW).shape == (1 + n // 160, 64)


def test_two_seconds_are_201_frames_of_which_197_lie_wholly_within_the_clip():
    assert pcen_mel(np.zeros(2 * 44100, np.float32), FULL).shape == (201, 128)
    assert math.ceil((2 * 44100 - 2048) / 441) + 1 == 197


@pytest.mark.parametrize("audio", [AudioSettings(n_mels=32), AudioSettings(8000, 16)])
def test_steady_noise_looks_the_same_at_the_start_of_a_clip_as_later(audio):
    steady = np.random.default_rng(0).normal(0, 0.01, 20 * audio.sampling_rate).astype(np.float32)
    made = pcen_mel(steady, audio)
    np.testing.assert_allclose(made[:100].mean(axis=0), made[500:].mean(axis=0), rtol=0.1)


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop"), [(44100, 2048, 441), (16000, 512, 160), (22050, 1024, 220), (48000, 2048, 480)]
)
def test_other_rates_keep_10_ms_hops_and_25_ms_windows(rate, n_fft, hop):
    audio = AudioSettings(sampling_rate=rate)
    assert (audio.n_fft, audio.hop_length) == (n_fft, hop)


def test_every_setting_changes_the_digest():
    others = [AudioSettings(**{name: value / 2}) for name, value in vars(FULL).items() if isinstance(value, float)]
    others += [AudioSettings(sampling_rate=48000), AudioSettings(n_mels=64), AudioSettings(revision=9)]
    digests = {audio.digest for audio in (FULL, *others)}
    assert len(digests) == 1 + len(others) == 1 + len(vars(FULL))
    assert FULL.digest == AudioSettings().digest
