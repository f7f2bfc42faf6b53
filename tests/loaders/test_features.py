"""The feature step: what is computed, what is kept, and what a kill, a change or a bad file does to it."""

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from threadpoolctl import threadpool_limits

from loaders import features
from loaders.clip_features import clip_features
from loaders.clips import open_clips
from loaders.features import make_features
from loaders.layouts import Subset
from loaders.pcen import AudioSettings
from utils.errors import UserError

SETTINGS = AudioSettings(sampling_rate=8000, n_mels=16)
FNAMES = [f"{name}.wav" for name in "abcdef"]
CPU = torch.device("cpu")


def write_clip(folder: Path, fname: str, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    sf.write(folder / fname, rng.normal(0, 0.1, rng.integers(2000, 24000)), 8000)


@pytest.fixture
def subset(tmp_path) -> Subset:
    for seed, fname in enumerate(FNAMES):
        write_clip(tmp_path / "audio", fname, seed)
    return Subset(tmp_path / "audio", FNAMES)


@pytest.fixture
def make(tmp_path):
    """Bring the features of a subset up to date; returns (computed, up to date, unusable)."""

    def run(subset: Subset, settings: AudioSettings = SETTINGS) -> tuple:
        report = make_features(subset, "test", tmp_path / "features" / "8000_16", settings, jobs=1)
        return report.computed, report.up_to_date, report.unusable

    return run


@pytest.fixture
def held(tmp_path):
    """{clip: its features}, as a reader finds them."""

    def read() -> dict[str, np.ndarray]:
        clips, _ = open_clips(tmp_path / "features", "test", SETTINGS, "")
        return {
            fname: clips.crops(np.array([i]), np.array([0]), int(clips.lengths[i]), CPU)[0, 0].numpy().T
            for i, fname in enumerate(clips.fnames)
        }

    return read


def check(held: dict[str, np.ndarray], subset: Subset, fnames: list[str] = FNAMES) -> None:
    assert list(held) == fnames
    for fname, rows in held.items():
        with threadpool_limits(1, user_api="blas"):
            expected = clip_features(subset.folder / fname, SETTINGS)
        np.testing.assert_array_equal(rows, expected.astype(np.float32))


def files(tmp_path) -> set[str]:
    """What lies in the features folder, the array's hash left out."""
    return {path.name if path.suffix != ".npy" else "test.npy" for path in (tmp_path / "features/8000_16").iterdir()}


def test_every_clip_is_computed_once_and_a_second_run_writes_nothing(subset, make, held, tmp_path, monkeypatch):
    folder = tmp_path / "features/8000_16"
    assert make(subset) == (6, 0, {})
    check(held(), subset)
    assert files(tmp_path) == {"test.json", "test.npy", "test_unusable.csv", ".test.lock"}
    sound = (subset.folder / "b.wav").stat()
    assert json.loads((folder / "test.json").read_text())["clips"][1][4:] == [sound.st_size, sound.st_mtime_ns]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(features, "try_clip", None)
    assert make(subset) == (0, 6, {})
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_removed_added_and_reordered_clips_and_other_settings(subset, make, held):
    make(subset)
    write_clip(subset.folder, "g.wav", seed=7)
    fnames = ["f.wav", "g.wav", "a.wav", "d.wav"]
    assert make(Subset(subset.folder, fnames)) == (1, 3, {})
    check(held(), subset, fnames)
    louder = AudioSettings(sampling_rate=8000, n_mels=16, gain=0.6)
    assert make(subset, louder) == (6, 0, {})
    assert make(subset, louder) == (0, 6, {})


def interrupted(monkeypatch, make, subset: Subset, after: int) -> None:
    """A run that stops after some clips, as Ctrl-C does."""
    compute = features._compute

    def few(*args) -> Iterator:
        yield from islice(compute(*args), after)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "_compute", few)
        with pytest.raises(KeyboardInterrupt):
            make(subset)


def test_an_interrupted_run_goes_on_where_it_stopped(subset, make, held, monkeypatch, tmp_path):
    interrupted(monkeypatch, make, subset, after=2)
    interrupted(monkeypatch, make, subset, after=2)
    assert files(tmp_path) == {"test.part", ".test.lock"}
    write_clip(subset.folder, "b.wav", seed=99)  # one of those that are in the journal
    os.utime(subset.folder / "c.wav", ns=(1, 1))
    assert make(subset) == (4, 2, {})
    check(held(), subset)
    assert files(tmp_path) == {"test.json", "test.npy", "test_unusable.csv", ".test.lock"}


def test_an_interrupted_update_leaves_the_old_features_valid_and_a_reader_keeps_them(
    subset, make, held, monkeypatch, tmp_path
):
    make(subset)
    before, (clips, _) = held(), open_clips(tmp_path / "features", "test", SETTINGS, "")
    for seed, fname in enumerate(FNAMES):
        write_clip(subset.folder, fname, seed + 50)
    interrupted(monkeypatch, make, subset, after=3)
    assert all(np.array_equal(rows, before[fname]) for fname, rows in held().items())
    assert make(subset) == (3, 3, {})
    check(held(), subset)
    old = clips.crops(np.array([0]), np.array([0]), 50, CPU)[0, 0].numpy().T
    np.testing.assert_array_equal(old, before["a.wav"][:50])


DAMAGES = {  # to the journal of four clips: what is left of it, and how many of them can be relied on
    "a line more": (lambda held: held + b"\0\xff\0\0\n", {4}),
    "the end is missing": (lambda held: held[:-20], {3}),
    "the end is zeros": (lambda held: held[:-20] + bytes(20), {3}),
    "half is missing": (lambda held: held[: len(held) // 2], {1, 2, 3}),
    "other settings": (lambda held: held.replace(SETTINGS.digest.encode(), b"0" * 12), {0}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_journal_costs_only_the_clips_it_has_lost(subset, make, held, monkeypatch, tmp_path, damage):
    spoil, expected = DAMAGES[damage]
    interrupted(monkeypatch, make, subset, after=4)
    journal = tmp_path / "features/8000_16/test.part"
    journal.write_bytes(spoil(journal.read_bytes()))
    computed, kept, _ = make(subset)
    assert kept in expected
    assert computed + kept == 6
    check(held(), subset)


def test_unusable_clips_are_named_with_their_reason_until_they_are_mended(subset, make, held, tmp_path):
    make(subset)
    (subset.folder / "b.wav").write_bytes(b"")
    (subset.folder / "d.wav").write_text("not audio")
    (subset.folder / "f.wav").unlink()
    for _ in range(2):
        computed, up_to_date, unusable = make(subset)
        assert (computed, up_to_date, list(unusable)) == (0, 3, ["b.wav", "d.wav", "f.wav"])
        check(held(), subset, ["a.wav", "c.wav", "e.wav"])
    table = pd.read_csv(tmp_path / "features/8000_16/test_unusable.csv")
    assert dict(zip(table.fname, table.reason, strict=True)) == unusable
    assert open_clips(tmp_path / "features", "test", SETTINGS, "")[1] == unusable
    for seed, fname in enumerate("bdf"):
        write_clip(subset.folder, f"{fname}.wav", seed)
    assert make(subset) == (3, 3, {})
    check(held(), subset)


CANCELLED = "its channels cancel out; channel 1 of 2 is taken alone"


def write_opposite(subset: Subset, fname: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 9000)
    sf.write(subset.folder / fname, np.stack([noise, -noise], axis=1), 8000)


def test_odd_clips_are_used_and_named_in_every_run_until_they_are_mended(subset, make, held, monkeypatch, tmp_path):
    def remarks(subset: Subset) -> dict[str, str]:
        return make_features(subset, "test", tmp_path / "features/8000_16", SETTINGS, jobs=1).remarks

    write_opposite(subset, "b.wav")
    write_opposite(subset, "e.wav")
    interrupted(monkeypatch, make, subset, after=3)
    for _ in range(2):  # at first one of them from the journal
        assert remarks(subset) == {"b.wav": CANCELLED, "e.wav": CANCELLED}
        check(held(), subset)
    write_clip(subset.folder, "b.wav", seed=1)
    assert remarks(subset) == {"e.wav": CANCELLED}
    write_opposite(subset, "c.wav")  # one that was not odd
    assert remarks(subset) == {"c.wav": CANCELLED, "e.wav": CANCELLED}
    assert remarks(Subset(subset.folder, ["a.wav", "b.wav"])) == {}


OUTSIDE = "its name points outside of the data folder"
NAMES = {"../outside.wav": OUTSIDE, "/etc/hosts": OUTSIDE, "a/../../b.wav": OUTSIDE, "a\0.wav": OUTSIDE,
         "x" * 300 + ".wav": "cannot be opened: File name too long",
         "\u00e9" * 300 + ".wav": "cannot be opened: File name too long"}  # fmt: skip


def test_names_that_lead_out_of_the_folder_or_are_too_long_are_unusable(subset, make):
    assert make(Subset(subset.folder, ["a.wav", *NAMES])) == (1, 0, NAMES)


@pytest.mark.parametrize(
    ("fnames", "said"),
    [
        ([], "there are no clips of test"),
        (["x.wav", "/y"], "none of the 2 clips of test can be used; x.wav: there is no such file"),
    ],
)
def test_a_subset_without_clips_that_can_be_used_is_an_error(subset, make, fnames, said):
    with pytest.raises(UserError, match=said):
        make(Subset(subset.folder, fnames))


def test_a_second_run_at_the_same_time_waits_and_then_finds_all_done(subset, make, held, tmp_path, capsys):
    folder = tmp_path / "features/8000_16"
    folder.mkdir(parents=True)
    results = []
    with open(folder / ".test.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = [threading.Thread(target=lambda: results.append(make(subset))) for _ in range(2)]
        for run in runs:
            run.start()
        time.sleep(0.2)
        assert not (folder / "test.json").exists()
    for run in runs:
        run.join()
    assert sorted(results, key=lambda result: result[0]) == [(0, 6, {}), (6, 0, {})]
    assert "another run is computing these features; waiting for it" in capsys.readouterr().out
    check(held(), subset)


SPOILS = {
    "gone": lambda array: array.unlink(),
    "cut off": lambda array: array.write_bytes(array.read_bytes()[:-20]),
    "of other numbers": lambda array: np.save(array, np.zeros(3)),
}


@pytest.mark.parametrize("damage", SPOILS)
def test_an_array_that_is_not_whole_is_made_again(subset, make, held, tmp_path, damage):
    """What open_clips says of it is to run the feature step."""
    make(subset)
    (array,) = (tmp_path / "features/8000_16").glob("*.npy")
    SPOILS[damage](array)
    assert make(subset) == (6, 0, {})
    check(held(), subset)


def test_finished_features_in_a_read_only_place_are_up_to_date(subset, make, monkeypatch):
    (subset.folder / "c.wav").write_bytes(b"")
    unusable = make(subset)[2]
    assert list(unusable) == ["c.wav"]

    def refuse(path: Path, mode: str = "r"):  # for root, chmod would not do
        if mode == "rb":
            return open(path, mode)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(features, "open", refuse, raising=False)
    monkeypatch.setattr(features, "atomic_write", lambda path, *_: refuse(path, "wb"))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert make(subset) == (0, 5, unusable)
    write_clip(subset.folder, "c.wav", 77)
    with pytest.raises(UserError, match=r"test.part: Read-only file system; .*set features_path"):
        make(subset)


def test_a_place_that_cannot_be_written_is_named(subset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        make_features(subset, "test", tmp_path / "file" / "features", SETTINGS, 1)
