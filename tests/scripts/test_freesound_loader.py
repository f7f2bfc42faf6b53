"""loaders/freesound_loader.py as a script: what it computes, what it says of bad clips, and where it writes."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

FLAGS = shlex.split("--dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1")
ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize(
    ("split", "made"),
    [("test", ["test"]), ("train", ["train_curated", "train_noisy"]), ("train_noisy", ["train_noisy"])],
)
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


def test_a_data_set_in_folders_of_labels_without_test_clips(script, tmp_path, sound):
    rng = np.random.default_rng(0)
    for fname, kind in {"train/A/a.wav": "Hum", "train/B/b.flac": "Rain", "train/B/c.m4a": "Hum"}.items():
        (tmp_path / "own" / fname).parent.mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path / "own" / fname, sound(rng, kind, 0.5, 16000), 16000, format="WAV")
    (tmp_path / "own/train/B/c.m4a").write_bytes(b"nothing of it is read")
    (tmp_path / "own/test").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "own"}}))
    done = script(tmp_path, "loaders/freesound_loader.py", *FLAGS)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "train_curated: 2 clips computed, 0 up to date, 1 cannot be used\n  B/c.m4a: not readable"
    )
    index = json.loads((tmp_path / "own/features/16000_32/train_curated.json").read_text())
    assert [clip[0] for clip in index["clips"]] == ["A/a.wav", "B/b.flac"]


def test_jobs_are_as_many_as_the_cores_that_may_be_used(process, spoiled):
    """joblib's count knows the affinity and the cgroup's quota; this one takes the affinity."""
    one = min(os.sched_getaffinity(0))
    done = process(spoiled, "taskset", "-c", one, sys.executable, ROOT / "loaders/freesound_loader.py", "-h")
    assert "(default: 1)" in done.out.split("--jobs JOBS")[-1].split("--backend")[0]


def test_with_features_path_nothing_is_written_beside_the_audio(script, corpus, spoiled):
    shutil.rmtree(corpus / "features")
    entry = {"data_path": str(corpus), "features_path": str(spoiled / "made")}
    (spoiled / "config.json").write_text(json.dumps({"tiny": entry}))
    before = snapshot(corpus)
    assert script(spoiled, "loaders/freesound_loader.py", *FLAGS).code == 0
    assert snapshot(corpus) == before
    assert (spoiled / "made/16000_32/test.json").exists()


def own_table(root, rows, sound, sounds):
    """A table, and for each clip the sound of that number."""
    (root / "own/train").mkdir(parents=True)
    (root / "own/train.csv").write_text(rows)
    (root / "own/test").mkdir()
    for fname, number in sounds.items():
        sf.write(root / "own" / fname, sound(np.random.default_rng(number), "Rain", 0.5, 16000), 16000)
    (root / "config.json").write_text(json.dumps({"tiny": {"data_path": "own"}}))


ONE = {f"train/{name}.wav": number for number, name in enumerate("abcd")}
SAID = {  # rows and sounds -> what is said beside the counts
    "nothing": ("fname,labels\na.wav,A\nb.wav,B\nc.wav,A\nd.wav,B\n", ONE, []),
    "copies": ("fname,labels\na.wav,A\nb.wav,B\nc.wav,A\nd.wav,B\n", ONE | {"train/c.wav": 0},
               ["1 clips are copies of another: train_curated/c.wav of train_curated/a.wav"]),
    "copies of every kind": (
        "fname,labels,fold\na.wav,A,0\nb.wav,B,1\nc.wav,A,1\nd.wav,B,0\n",
        {"train/a.wav": 0, "train/b.wav": 0, "train/c.wav": 1, "train/d.wav": 0, "test/x.wav": 1, "test/y.wav": 1},
        ["4 clips are copies of another, 2 of them in another subset, 1 of them in another fold, 2 of them with "
         "other labels: train_curated/b.wav of train_curated/a.wav, train_curated/d.wav of train_curated/a.wav, "
         "test/x.wav of train_curated/c.wav, ..."]),
    "a row per label, folds and groups without value": (
        "fname,labels,fold,group\na.wav,A,0,g\na.wav,B,0,g\nb.wav,B,1,NA\nc.wav,A,-1,\nd.wav,B,0,h\n", ONE,
        ["train_curated: 5 rows are joined into 4 clips; 1 clips have no fold, so they are always trained on; "
         "2 clips have no group"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_how_a_table_was_understood_and_which_clips_are_copies_is_told_in_a_line(script, tmp_path, sound, case):
    rows, sounds, said = SAID[case]
    own_table(tmp_path, rows, sound, sounds)
    done = script(tmp_path, "loaders/freesound_loader.py", *FLAGS)
    assert (done.code, done.err) == (0, "")
    counts = "0 up to date, 0 cannot be used"
    assert [line for line in done.out.splitlines()[:-1] if counts not in line] == said
