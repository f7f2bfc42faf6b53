"""Sound files -> mono samples: reading, mixing, resampling, trimming, wrapping, and files that cannot be used."""

from contextlib import suppress

import librosa
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from loaders import audio, mixdown
from loaders.audio import UnusableClipError, read_mono, trim_silence, wrap
from loaders.clip_features import clip_features
from loaders.decoders import sndfile
from loaders.pcen import AudioSettings

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.2, 8000).clip(-1, 1).astype(np.float32)


def sine(rate: int, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path, samples, rate=16000, **how):
    sf.write(path, samples, rate, **how)
    return path


OPPOSITE = np.stack([0.5 * NOISE, -0.55 * NOISE], axis=1)


def read(path, rate=16000) -> tuple[np.ndarray, list[str]]:
    """The samples, and what is said of the file."""
    remarks: list[str] = []
    return read_mono(path, rate, remarks=remarks), remarks


@pytest.mark.parametrize("offset", [0, 0.3])
def test_of_channels_that_cancel_out_the_loudest_is_taken_and_that_is_said(tmp_path, offset):
    samples, remarks = read(write(tmp_path / "x.wav", OPPOSITE + offset, subtype="FLOAT"))
    np.testing.assert_allclose(samples, OPPOSITE[:, 1], atol=5e-3 if offset else 0)
    assert remarks == ["its channels cancel out; channel 2 of 2 is taken alone"]


@pytest.mark.parametrize(("gain", "cancelled"), [(-1, True), (-0.84, True), (-0.78, False), (0.01, False), (1, False)])
def test_twenty_decibels_are_where_channels_cancel_out(tmp_path, gain, cancelled):
    """y and g y have the mean (1 + g) / 2 y: at g = -0.8 it is 20 dB below y."""
    path = write(tmp_path / "x.wav", np.stack([NOISE, gain * NOISE], axis=1), subtype="FLOAT")
    samples, remarks = read(path)
    np.testing.assert_allclose(samples, NOISE if cancelled else (1 + gain) / 2 * NOISE, atol=1e-6)
    assert bool(remarks) == cancelled


@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 1 / 32768), ("flac", 1 / 32768), ("ogg", 0.2)])
def test_one_channel_is_read_as_it_is(tmp_path, suffix, tolerance):
    samples = read_mono(write(tmp_path / f"x.{suffix}", sine(16000)), 16000)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, sine(16000), rtol=0, atol=tolerance)


def test_the_whole_file_decides_and_not_each_block(tmp_path, monkeypatch):
    monkeypatch.setattr(sndfile, "BLOCK", 999)
    half = np.stack([NOISE, np.where(np.arange(8000) < 4000, -NOISE, NOISE)], axis=1)
    samples, remarks = read(write(tmp_path / "x.wav", half, subtype="FLOAT"))
    np.testing.assert_allclose(samples, half.mean(axis=1), atol=1e-7)
    assert remarks == []


@pytest.mark.parametrize("value", [0.0, 0.3, 1e-9])
def test_silent_channels_do_not_cancel_out(tmp_path, value):
    samples, remarks = read(write(tmp_path / "x.wav", np.float32([[value, -value]] * 8000), subtype="FLOAT"))
    assert not samples.any()
    assert remarks == []


@pytest.mark.parametrize("offset", [0.3, -0.05, 0.01])
@pytest.mark.parametrize("rate", [16000, 22050])
def test_a_constant_is_taken_off_before_anything_else(tmp_path, offset, rate):
    settings = AudioSettings(16000, 32)
    loud = 10 ** np.linspace(-3, -1, 10) @ np.eye(10).repeat(1600, axis=1)  # from faint to loud
    sound = np.float32(loud * RNG.uniform(-1, 1, 16000))
    plain = clip_features(write(tmp_path / "plain.wav", sound, rate, subtype="FLOAT"), settings)
    moved = clip_features(write(tmp_path / "moved.wav", sound + offset, rate, subtype="FLOAT"), settings)
    np.testing.assert_allclose(moved, plain, rtol=0, atol=0.02)


def test_sound_around_zero_is_not_moved_though_its_mean_is_not_zero(tmp_path):
    sound = np.concatenate([np.abs(NOISE[:2000]), np.zeros(6000, np.float32)])
    np.testing.assert_array_equal(read_mono(write(tmp_path / "x.wav", sound, subtype="FLOAT"), 16000), sound)


@pytest.mark.parametrize(("offset", "left"), [(np.linspace(0, 0.4, 8000), 0.03), (np.linspace(0.2, 0.1, 8000), 0.03)])
def test_a_constant_that_drifts_in_a_long_recording_is_followed(tmp_path, monkeypatch, offset, left):
    monkeypatch.setattr(mixdown, "LONG", 0.1)
    monkeypatch.setattr(mixdown, "SLOW", 0.02)
    monkeypatch.setattr(sndfile, "BLOCK", 999)
    sound = NOISE - NOISE.reshape(8, -1).mean(axis=1).repeat(1000)
    samples = read(write(tmp_path / "x.wav", np.float32(sound + offset), subtype="FLOAT"))[0]
    assert np.abs(samples.reshape(8, -1).mean(axis=1)).max() < left
    assert np.corrcoef(samples, sound)[0, 1] > 0.99


@pytest.mark.parametrize("dead", [0.0, -0.48])
def test_a_channel_that_is_constant_has_no_part_in_the_mean(tmp_path, dead):
    flat = np.full(8000, dead, np.float32)
    good = np.stack([NOISE, NOISE[::-1]], axis=1)
    samples, remarks = read(write(tmp_path / "x.wav", np.column_stack([flat, good, flat]), subtype="FLOAT"))
    np.testing.assert_allclose(samples, good.mean(axis=1), atol=1e-6)
    assert remarks == ["2 of its 4 channels are constant, and left out"]


@pytest.mark.parametrize(("scale", "said"), [(1, False), (6, False), (32768, True)])
def test_whole_numbers_that_were_written_as_floats_are_named(tmp_path, scale, said):
    sound = NOISE / np.abs(NOISE).max() * np.float32(scale)
    remarks = read(write(tmp_path / "x.wav", sound, subtype="FLOAT"))[1]
    assert [("times full scale" in remark) for remark in remarks] == [True] * said


def test_a_file_that_is_longer_than_what_is_kept_is_read_twice_and_is_the_same(tmp_path, monkeypatch):
    stereo = np.stack([NOISE, -NOISE], axis=1) + np.float32(0.2)
    path = write(tmp_path / "x.wav", stereo, 22050, subtype="FLOAT")
    once = read(path)
    monkeypatch.setattr(mixdown, "KEPT", 1000)
    twice = read(path)
    np.testing.assert_array_equal(once[0], twice[0])
    assert once[1] == twice[1] == ["its channels cancel out; channel 1 of 2 is taken alone"]


def cut(path, share, samples=NOISE, **how):
    """Write a file and keep that share of its bytes."""
    write(path, samples, **how)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


def test_both_remarks_of_a_file_are_made(tmp_path):
    stereo = np.stack([NOISE, -NOISE], axis=1)
    assert len(read(cut(tmp_path / "x.wav", 0.5, stereo))[1]) == 2


@pytest.mark.parametrize("share", [1, 0.995])
def test_a_file_that_lacks_next_to_nothing_is_not_named(tmp_path, share):
    assert read(cut(tmp_path / "x.wav", share))[1] == []


def test_two_samples_of_two_channels_are_mixed_along_the_channels(tmp_path):
    samples = read_mono(write(tmp_path / "x.wav", np.float32([[1, 0], [0.5, 0.25]]), subtype="FLOAT"), 16000)
    np.testing.assert_array_equal(samples, [0.5, 0.375])


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled_in_place_and_in_level(tmp_path, rate):
    samples = read_mono(write(tmp_path / "x.wav", sine(rate), rate), 16000)
    assert abs(len(samples) - 16000) <= 1
    np.testing.assert_allclose(samples[500:-500], sine(16000)[500 : len(samples) - 500], atol=2e-3)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_reading_block_by_block_changes_nothing(tmp_path, rate, monkeypatch):
    path = write(tmp_path / "x.wav", np.stack([NOISE, NOISE[::-1]], axis=1), rate)
    whole = read_mono(path, 16000)
    monkeypatch.setattr(sndfile, "BLOCK", 999)
    np.testing.assert_allclose(read_mono(path, 16000), whole, atol=1e-6)


UNUSABLE = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "zero bytes": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("fname,labels\n"), "not readable as audio"),
    "cut off": (lambda path: cut(path, 50 / 9000, format="FLAC"), "not readable as audio|no samples"),
    "not a number": (lambda path: write(path, np.float32([0, np.nan, 0]), subtype="FLOAT"), "not finite"),
    "infinite": (lambda path: write(path, np.float32([0, np.inf, 0]), subtype="FLOAT"), "not finite"),
    "slow": (lambda path: write(path, NOISE, 100), "100 Hz"),
    "fast": (lambda path: write(path, NOISE, 2_000_000), "2000000 Hz"),
    "no samples": (lambda path: write(path, NOISE[:0]), "no samples"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, case):
    spoil, reason = UNUSABLE[case]
    spoil(tmp_path / "x.wav")
    with pytest.raises(UnusableClipError, match=reason):
        read_mono(tmp_path / "x.wav", 16000)


@pytest.mark.filterwarnings("ignore:overflow")
def test_samples_too_large_to_square_are_refused_or_used_but_no_crash(tmp_path):
    path = write(tmp_path / "x.wav", np.full(4000, 1e25, np.float32), subtype="FLOAT")
    with suppress(UnusableClipError):
        assert np.isfinite(clip_features(path, AudioSettings(16000, 32))).all()


def test_a_clip_longer_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "LONGEST", 0.4)
    with pytest.raises(UnusableClipError, match="longer than"):
        read_mono(write(tmp_path / "x.wav", NOISE), 16000)


@given(
    levels=st.lists(st.floats(-7, 0), min_size=1, max_size=12),
    piece=st.integers(1, 3000),
    seed=st.integers(0, 2**32 - 1),
)
def test_trim_equals_librosas(levels, piece, seed):
    noise = np.random.default_rng(seed).normal(0, 0.3, len(levels) * piece).astype(np.float32)
    samples = noise * np.repeat(10 ** np.float32(levels), piece)
    np.testing.assert_array_equal(trim_silence(samples), librosa.effects.trim(samples, top_db=60)[0])


@pytest.mark.parametrize("samples", [NOISE[:1], NOISE[:511], NOISE[:512], NOISE[:513], NOISE[:5000] * 0])
def test_a_clip_of_a_few_samples_or_pure_silence_is_left_whole_and_repeated_for_two_seconds(tmp_path, samples):
    np.testing.assert_array_equal(trim_silence(samples), samples)
    np.testing.assert_array_equal(wrap(samples, 9000), [samples[i % len(samples)] for i in range(9000)])
    assert wrap(samples, 1) is samples
    assert clip_features(write(tmp_path / "x.wav", samples), AudioSettings(16000, 32)).shape == (201, 32)
