"""tag.py's timelines, and what else it writes: where it goes, and what it may not overwrite."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf


def read_timeline(path: Path) -> pd.DataFrame:
    """A timeline without the name of its file, by seconds."""
    return pd.read_csv(path, index_col=["fname", "second"]).droplevel("fname")


@pytest.fixture(scope="module")
def recording(tmp_path_factory, sound) -> Path:
    """65.3 s at another rate: 20 s of rain, 10 s of nothing, then a hum."""
    rng, rate = np.random.default_rng(0), 22050
    parts = [sound(rng, "Rain", 20, rate), np.zeros(10 * rate), sound(rng, "Hum", 35.3, rate)]
    path = tmp_path_factory.mktemp("recording") / "long.wav"
    sf.write(path, np.concatenate(parts), rate)
    return path


def test_a_timeline_has_a_row_per_second_and_is_empty_where_it_is_silent(run_tag, recording, sounds):
    done = run_tag(recording, "--timeline", sounds / "times", "--csv", sounds / "tags.csv")
    assert done.code == 0, done.err
    table = read_timeline(sounds / "times" / "long.wav.csv")
    assert list(table.index) == list(range(66))
    silent = set(np.flatnonzero(table.isna().all(axis=1)))
    assert set(range(21, 29)) <= silent <= set(range(20, 30))  # resampling rings a little
    assert table.drop(silent).notna().all(axis=None)
    assert table.min(axis=None) > 0
    assert table.max(axis=None) < 1
    np.testing.assert_allclose(table.mean(), pd.read_csv(sounds / "tags.csv", index_col="fname").iloc[0], rtol=1e-5)
    assert (sounds / "times" / "long.wav.png").read_bytes().startswith(b"\x89PNG")
    assert " at 0:" in done.out


def test_the_middle_of_a_long_recording_scores_as_its_own_crops_do(tag, recording, sounds, run_tag):
    """A steady sound has about the same probabilities whether it is cut out or heard in passing."""
    samples, rate = sf.read(recording)
    sf.write(sounds / "cut.wav", samples[40 * rate : 50 * rate], rate)
    assert run_tag(recording, "--timeline", sounds / "t.png").code == 0
    passing = read_timeline(sounds / "t.csv").loc[42:48].mean()
    np.testing.assert_allclose(tag(sounds / "cut.wav").iloc[0], passing, atol=0.05)


@pytest.mark.parametrize("seconds", [0.05, 2.4])
def test_short_files_have_timelines_of_their_own_length_too(run_tag, sounds, seconds, beep):
    beep(sounds / "x.wav", seconds)
    assert run_tag(sounds / "x.wav", "--timeline", sounds / "t.png").code == 0
    assert len(pd.read_csv(sounds / "t.csv")) == np.ceil(seconds)


def test_timelines_keep_the_folders_below_what_holds_them_all_and_say_their_file(run_tag, sounds, beep):
    for name in ("oak/1.WAV", "river/1.WAV", "river/deep/1.WAV"):
        (sounds / name).parent.mkdir(exist_ok=True)
        beep(sounds / name)
    assert run_tag(sounds / "oak/1.WAV", sounds / "river", "--timeline", sounds / "times").code == 0
    for name in ("oak/1.WAV", "river/1.WAV", "river/deep/1.WAV"):
        assert (sounds / "times" / f"{name}.png").exists()
        assert set(pd.read_csv(sounds / "times" / f"{name}.csv")["fname"]) == {str(sounds / name)}


OVERWRITTEN = ["--csv x.wav", "--timeline t.png --csv t.csv", "--csv t --json t"]


@pytest.mark.parametrize("flags", [*OVERWRITTEN, "--csv=", "--csv ."])
def test_an_output_that_cannot_be_or_would_replace_something_is_refused(script, sounds, beep, flags):
    beep(sounds / "x.wav")
    refused = script(sounds, "tag.py", "x.wav", *flags.split())
    assert refused.code == 2
    assert ("overwritten" if flags in OVERWRITTEN else "folder") in refused.error
    assert sf.info(sounds / "x.wav").duration == 1
