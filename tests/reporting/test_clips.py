"""Pictures and sounds of clips: right way up, as long as the clip, small."""

import io

import cv2
import numpy as np
import pytest
import soundfile as sf

from loaders.pcen import AudioSettings
from reporting.clips import HEIGHT, PIXELS_PER_SECOND, clip_samples, picture, sound

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)


def tone(hertz: float, seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def decoded(jpeg: bytes) -> np.ndarray:
    """(height, width) of the mean of the colours."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean(axis=2)


def test_time_runs_to_the_right_low_tones_are_at_the_bottom_and_a_second_is_as_wide_as_it_says():
    samples = np.concatenate([np.zeros(16000, np.float32), tone(200, 2)])
    made = decoded(picture(samples, SETTINGS))
    assert made.shape == (HEIGHT, 3 * PIXELS_PER_SECOND)
    assert made[:, :80].mean() < made[:, 120:].mean() - 10
    assert made.mean(axis=1).argmax() > HEIGHT / 2
    assert decoded(picture(tone(6000, 2), SETTINGS)).mean(axis=1).argmax() < HEIGHT / 2


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_sound_lasts_as_long_at_any_rate_and_is_as_loud(rate):
    heard, mp3_rate = sf.read(io.BytesIO(sound([0.01 * tone(440, 1.5, rate)], rate, 0.005)))
    assert len(heard) / mp3_rate == pytest.approx(1.5, abs=0.1)
    assert np.abs(heard).max() == pytest.approx(0.9, abs=0.1)


def test_silence_and_a_single_sample_have_a_picture_and_a_sound():
    for samples in (np.zeros(16000, np.float32), np.zeros(1, np.float32)):
        assert decoded(picture(samples, SETTINGS)).shape[0] == HEIGHT
        assert not np.abs(sf.read(io.BytesIO(sound([samples], 16000, 0.0)))[0]).max(initial=0) > 1e-3


def test_five_seconds_of_noise_take_less_than_a_twenty_fourth_of_ten_megabytes():
    """The default page shows 24 clips, whose files grow by a third within it, and keeps a megabyte for the rest."""
    settings = AudioSettings(44100, 128)
    noise = np.random.default_rng(0).normal(0, 0.2, 5 * 44100).astype(np.float32)
    size = len(picture(noise, settings)) + len(sound([noise], 44100, 1.0))
    assert size * 4 / 3 * 24 < 9e6


def test_the_silence_before_a_clip_is_cut_off_and_so_is_what_is_too_long(tmp_path):
    sf.write(tmp_path / "a.wav", np.concatenate([np.zeros(16000, np.float32), tone(500, 3)]), 16000)
    samples = clip_samples(tmp_path, "a.wav", SETTINGS, seconds=1.5)
    assert len(samples) == 24000
    assert np.abs(samples[:2048]).max() > 0.4
