"""loaders/freesound_loader.py as a script: what it computes, what it says of bad clips, and where it writes."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

FLAGS = shlex.split("--dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1")


@pytest.fixture
def features(script, spoiled):
    """Run the script on the copy of the corpus that `corpus` gives."""
    return lambda *flags: script(spoiled, "loaders/freesound_loader.py", *FLAGS, *flags)


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_line_per_subset_tells_what_was_done(features, corpus):
    shutil.rmtree(corpus / "features")
    done = features()
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "train_curated: 20 clips computed, 0 up to date, 0 cannot be used",
        "train_noisy: 8 clips computed, 0 up to date, 0 cannot be used",
        "test: 6 clips computed, 0 up to date, 0 cannot be used",
        f"features are in {corpus / 'features' / '16000_32'}",
    ]
    assert "0 clips computed, 20 up to date" in features().out


@pytest.mark.parametrize(("split", "made"), [("test", ["test"]), ("train", ["train_curated", "train_noisy"])])
def test_split_chooses_the_subsets(features, corpus, split, made):
    shutil.rmtree(corpus / "features")
    features("--split", split)
    assert sorted(path.stem for path in (corpus / "features/16000_32").glob("*.json")) == made


def test_bad_and_odd_clips_are_named_with_their_reason_and_strict_makes_bad_ones_a_failure(features, corpus):
    samples, rate = sf.read(corpus / "train_noisy/oisy02.wav")
    sf.write(corpus / "train_noisy/oisy02.wav", np.stack([samples, -samples], axis=1), rate)
    cut = corpus / "train_noisy/oisy03.wav"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for computed in (2, 0):  # the second time they are up to date
        done = features("--split", "train_noisy", "--strict")
        assert (done.code, done.err) == (0, "")
        lines = done.out.splitlines()
        assert lines[0] == f"train_noisy: {computed} clips computed, {8 - computed} up to date, 0 cannot be used"
        assert lines[1] == "train_noisy: 2 clips are used, but there is something odd about them"
        assert lines[2] == "  oisy02.wav: its channels cancel out; channel 1 of 2 is taken alone"
        assert lines[3].startswith("  oisy03.wav: it was cut off or is damaged: holds ")
    cut.write_bytes(b"")
    for flags, code in (((), 0), (("--strict",), 1)):
        done = features(*flags)
        assert (done.code, done.err) == (code, "")
        assert "  oisy03.wav: the file is empty (0 bytes)" in done.out


def test_with_features_path_nothing_is_written_beside_the_audio(script, corpus, spoiled):
    shutil.rmtree(corpus / "features")
    entry = {"data_path": str(corpus), "features_path": str(spoiled / "made")}
    (spoiled / "config.json").write_text(json.dumps({"tiny": entry}))
    before = snapshot(corpus)
    assert script(spoiled, "loaders/freesound_loader.py", *FLAGS).code == 0
    assert snapshot(corpus) == before
    assert (spoiled / "made/16000_32/test.json").exists()


@pytest.mark.parametrize("copies", [False, True])
def test_copies_are_told_and_labels_may_be_in_a_row_each(script, tmp_path, sound, copies):
    (tmp_path / "own/train").mkdir(parents=True)
    (tmp_path / "own/train.csv").write_text("fname,labels\na.wav,A\na.wav,B\nb.wav,B\nc.wav,A\n")
    for number, name in enumerate("aab" if copies else "abc"):
        samples = sound(np.random.default_rng(ord(name)), "Rain", 0.5, 16000)
        sf.write(tmp_path / f"own/train/{'abc'[number]}.wav", samples, 16000)
    (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "own"}}))
    done = script(tmp_path, "loaders/freesound_loader.py", *FLAGS)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()[1:-1]
    assert lines == ["1 clips are copies of another: train_curated/b.wav of train_curated/a.wav"] * copies
