"""What recorders and phones write has the probabilities of the plain wav."""

import io
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from loaders.clip_features import clip_features
from loaders.pcen import AudioSettings
from tests.recorders import EXACT, LOSSY, RATE, ffmpeg


@pytest.fixture(scope="module")
def heard(sound) -> np.ndarray:
    """2.4 s of two sounds (n,), rounded to 16 bits, quiet at both ends."""
    rng = np.random.default_rng(0)
    both = sound(rng, "Bark", 2.4, RATE) * 0.5 + sound(rng, "Whistle", 2.4, RATE) * 0.3
    return np.round(both * 32767).astype(np.int16) / 32767


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """What FFmpeg makes of a lossy file of one channel, and its rate, by as few lines as possible."""
    parts, at = [], [0, *(place for place in range(1, len(data)) if data[place : place + 6] == b"OggS\0\2")]
    for first, last in zip(at, [*at[1:], len(data)], strict=True):
        with av.open(io.BytesIO(data[first:last])) as file:
            resampler = av.AudioResampler("fltp", "mono")
            for frame in file.decode(audio=0):
                parts += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
                rate = frame.sample_rate
    return np.concatenate(parts), rate


@pytest.fixture
def pairs(sounds, heard) -> dict[str, Path]:
    """Files of every kind, by name, and the plain wav of each: of lossy ones that of what the codec keeps."""
    made = {}
    for name, write in (EXACT | LOSSY).items():
        data = write(heard)
        (sounds / name).write_bytes(data)
        made[name] = sounds / "plain.wav" if name in EXACT else sounds / f"{name}.plain.wav"
        samples, rate = (heard, RATE) if name in EXACT else decoded(data)
        sf.write(made[name], samples, rate, subtype="FLOAT")
    return made


def test_each_kind_has_the_probabilities_and_the_features_of_the_plain_wav(tag, sounds, pairs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of whole files nothing is said
        table = tag([sounds / name for name in pairs] + list(dict.fromkeys(pairs.values())))
    apart = {name: np.abs(table.loc[str(sounds / name)] - table.loc[str(plain)]).max() for name, plain in pairs.items()}
    assert {name: value for name, value in apart.items() if value > 0.02} == {}
    settings = AudioSettings(16000, 32)
    for name, plain in pairs.items():
        made, expected = clip_features(sounds / name, settings), clip_features(plain, settings)
        frames = min(len(made), len(expected)) - 5  # ALAC in CAF ends some milliseconds before
        assert abs(len(made) - len(expected)) <= 3, name
        np.testing.assert_allclose(made[:frames], expected[:frames], rtol=0, atol=0.03, err_msg=name)


@pytest.mark.parametrize(
    ("name", "writer", "code", "said"),
    [
        ("x.m4a", {"container": "ipod", "tracks": 2}, 0, "has 2 sound tracks; the first is used"),
        ("x.mp4", {"container": "mp4", "tracks": 0, "video": 1}, 1, "has no sound"),
    ],
)
def test_of_several_sound_tracks_the_first_is_used_and_none_is_named(run_tag, sounds, heard, name, writer, code, said):
    (sounds / name).write_bytes(ffmpeg(heard, codec="aac", **writer))
    done = run_tag(sounds / name)
    assert done.code == code
    assert done.error.endswith(f"{name}: {said}")
    assert "silence" not in done.out
