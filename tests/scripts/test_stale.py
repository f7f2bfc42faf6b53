"""No result outlives what it was made from, and no run overwrites another one."""

import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from predicting.checkpoint import load_checkpoint, save_checkpoint
from predicting.prediction_file import load_predictions

LAST, BEST = (f"checkpoints/mobilenet_v3_small_tiny_{kind}_32x64_16000_0-2_model.pth" for kind in ("last", "best"))
PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_{}-2.npz"
FEATURES = ["--dataset", "tiny", "--sampling_rate", 16000, "--img_rows", 32, "--jobs", 1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, template, script, tiny_flags, sharpen):
    """Both folds of a run, trained and predicted.  Not to be changed: a test takes `place`."""
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(template, root / "data")
    (root / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
    for fold in (0, 1):
        done = script(root, "train.py", *tiny_flags, "--n_iter", 2, "--fold_num", fold)
        assert done.code == 0, done.err
        sharpen(root / BEST.replace("0-2", f"{fold}-2"))
        done = script(root, "test.py", "--model_path", BEST.replace("0-2", f"{fold}-2"), "--tta", 2)
        assert done.code == 0, done.err
    return root


@pytest.fixture
def place(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "place")


@pytest.fixture
def train(script, place, tiny_flags):
    return lambda *flags: script(place, "train.py", *tiny_flags, "--n_iter", 2, *flags)


@pytest.fixture
def predict(script, place):
    return lambda *flags: script(place, "test.py", "--if_needed", "--model_path", BEST, "--tta", 2, *flags)


@pytest.fixture
def merge(script, place):
    flags = ["--dataset", "tiny", "--img_rows", 32, "--img_cols", 64]
    return lambda *more: script(place, "merge.py", *flags, *more)


def make_features(script, place):
    done = script(place, "loaders/freesound_loader.py", *FEATURES)
    assert done.code == 0, done.err


def change_audio(folder, fname):
    path = folder / fname
    samples, rate = sf.read(path)
    sf.write(path, samples[::-1], rate)


def test_predictions_that_are_up_to_date_are_not_made_again(predict, place):
    before = (place / PREDICTED.format(0)).stat().st_mtime_ns
    assert "is up to date" in predict().out
    assert (place / PREDICTED.format(0)).stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["audio", "clip", "tta", "precision", "checkpoint", "table", "damage"])
def test_predictions_that_are_out_of_date_are_made_again(predict, place, script, change):
    flags, before = [], load_predictions(place / PREDICTED.format(0))
    if change == "audio":
        change_audio(place / "data/test", "test00.wav")
        make_features(script, place)
    elif change == "clip":
        shutil.copy(place / "data/test/test00.wav", place / "data/test/new.wav")
        sample = place / "data/sample_submission.csv"
        sample.write_text(sample.read_text() + "new.wav,0,0,0,0\n")
        (place / "data/test_post_competition.csv").unlink()
        make_features(script, place)
    elif change == "tta":
        flags = ["--tta", 3]
    elif change == "precision":
        flags = ["--precision", "bf16"]
    elif change == "checkpoint":
        state = load_checkpoint(place / BEST)
        state["model"]["classifier.3.bias"] += 1
        save_checkpoint(place / BEST, {key: value for key, value in state.items() if key != "format"})
    elif change == "table":
        (place / PREDICTED.format(0)).with_suffix(".csv").unlink()
    else:
        (place / PREDICTED.format(0)).write_bytes(b"x")
    done = predict(*flags)
    assert done.code == 0, done.err
    assert "is up to date" not in done.out
    now = load_predictions(place / PREDICTED.format(0))
    same = now.probabilities.shape == before.probabilities.shape and np.array_equal(
        now.probabilities, before.probabilities
    )
    assert same == (change in ("table", "damage"))
    assert "is up to date" in predict(*flags).out


def test_predictions_of_a_checkpoint_that_was_replaced_are_not_merged(merge, place):
    assert merge().code == 0
    state = load_checkpoint(place / BEST)
    state["model"]["classifier.3.bias"] += 1
    save_checkpoint(place / BEST, {key: value for key, value in state.items() if key != "format"})
    refused = merge()
    assert refused.code == 1
    assert "since it was made, the checkpoint changed" in refused.error
    assert f"python test.py --model_path {BEST} --split test" in refused.error


def test_predictions_of_features_that_were_replaced_are_not_merged(merge, place, script):
    change_audio(place / "data/test", "test03.wav")
    make_features(script, place)
    refused = merge()
    assert refused.code == 1
    assert "the features of the clips changed" in refused.error


@pytest.mark.parametrize(
    ("table", "old", "new", "changed"),
    [
        ("train_noisy.csv", '"Bark"', '"Rain"', "the labels or weights of the training clips changed"),
        ("train_curated.csv", '"Bark"', '"Rain"', "the labels"),
        ("train_noisy.csv", 'oisy07.wav,"Whistle"\n', "", "the training clips"),
    ],
)
def test_a_run_whose_tables_have_changed_is_named_and_not_gone_on_with(train, place, table, old, new, changed):
    path = place / "data" / table
    text = path.read_text()
    path.write_text(text.replace(old, new) if new else "\n".join(text.splitlines()[:-1]) + "\n")
    for resume in ("auto", LAST):
        refused = train("--resume", resume)
        assert refused.code == 1
        assert changed in refused.error
        assert LAST in refused.error
        assert "--overwrite" in refused.error
    anew = train("--resume", "auto", "--overwrite")
    assert anew.code == 0, anew.err
    assert "resuming" not in anew.out


def test_a_run_whose_classes_have_changed_is_refused(train, place):
    for path in (place / "data").glob("*.csv"):
        path.write_text(path.read_text().replace("Bark", "Yap"))
    refused = train("--resume", "auto")
    assert refused.code == 1
    assert "the classes" in refused.error


@pytest.mark.parametrize("subset", ["train_curated", "train_noisy"])
def test_a_run_whose_sounds_have_changed_is_refused(train, place, script, subset):
    for path in (place / "data" / subset).glob("*.wav"):
        change_audio(path.parent, path.name)
    make_features(script, place)
    refused = train("--resume", "auto")
    assert refused.code == 1
    assert "the features of the training clips" in refused.error


@pytest.mark.parametrize("flags", [["--seed", 9], ["--recipe", "improved"], ["--n_iter", 3]])
def test_another_run_is_not_overwritten(train, place, flags):
    before = (place / LAST).read_bytes()
    for further in ([], ["--resume", "auto"]):
        refused = train(*flags, *further)
        assert refused.code == 2
        assert LAST in refused.error
        assert f"{flags[0]} " in refused.error
        assert "--overwrite" in refused.error
        assert "--checkpoint_dir" in refused.error
    assert (place / LAST).read_bytes() == before


def test_the_same_run_is_not_trained_again_unless_that_is_wanted(train, place):
    refused = train()
    assert refused.code == 2
    assert "step 2 of 2 of the same run; go on with --resume auto" in refused.error
    assert "resuming after step 2 of 2" in train("--resume", "auto").out
    assert "resuming" not in train("--overwrite").out


def test_overwrite_leaves_nothing_of_the_other_run(train, place):
    (place / BEST).write_bytes(b"of another run")
    assert train("--overwrite", "--seed", 9, "--eval_freq", 0).code == 0
    assert load_checkpoint(place / BEST)["args"]["seed"] == 9


def test_a_run_that_goes_on_overwrites_no_other_one(train, place):
    assert train("--seed", 9, "--checkpoint_dir", "other").code == 0
    refused = train("--resume", LAST, "--checkpoint_dir", "other")
    assert refused.code == 2
    assert "--seed 9 (here 1234)" in refused.error


def test_auto_starts_where_there_is_nothing(train):
    done = train("--resume", "auto", "--checkpoint_dir", "new")
    assert done.code == 0, done.err
    assert "resuming" not in done.out


def test_the_report_shows_the_curves_of_the_run_that_made_the_predictions(train, place, script):
    report = ["report.py", "--dataset", "tiny", "--img_rows", 32, "--img_cols", 64, "--clips", 0, "--noisy_clips", 0]
    assert train("--seed", 9, "--checkpoint_dir", "b").code == 0
    for path in (place / "checkpoints").glob("*_log.jsonl"):
        path.unlink()
    done = script(place, *report)
    assert done.code == 0, done.err
    assert "There are no logs of these folds" in (place / "report.html").read_text(encoding="utf-8")
    done = script(place, *report, "--checkpoint_dir", "b")
    assert done.code == 0, done.err
    assert f"leaving out the log of b/{BEST.split('/')[1]}: it did not make these predictions" in done.out
    assert "There are no logs of these folds" in (place / "report.html").read_text(encoding="utf-8")


def test_scores_of_noisy_clips_by_a_network_that_has_changed_are_refused(train, place, script):
    first = ["--split", "train_curated", "--checkpoint_dir", "first"]
    assert train(*first).code == 0
    path = BEST.replace("checkpoints/", "first/")
    flags = ["--model_path", path, "--tta", 1, "--split", "train_noisy", "--prediction_dir", "scores"]
    assert script(place, "test.py", *flags).code == 0
    second = ["--noisy_scores", "scores", "--noisy_precision", 0.1, "--checkpoint_dir", "second"]
    assert train(*second).code == 0
    assert train(*first, "--overwrite", "--l_rate", 0.05).code == 0
    refused = train(*second, "--resume", "auto")
    assert refused.code == 1
    assert "since it was made, the checkpoint changed" in refused.error


def test_folds_that_were_trained_on_different_labels_are_not_merged(train, place, merge, script):
    table = place / "data/train_noisy.csv"
    table.write_text(table.read_text().replace('"Bark"', '"Rain"', 1))
    path = BEST.replace("0-2", "1-2")
    assert train("--fold_num", 1, "--overwrite").code == 0
    assert script(place, "test.py", "--model_path", path, "--tta", 2).code == 0
    refused = merge()
    assert refused.code == 1
    assert "was trained on other labels than" in refused.error
    assert script(place, "test.py", "--model_path", path, "--tta", 2, "--prediction_dir", "alone").code == 0
    assert merge("--prediction_dir", "alone", "--allow_missing").code == 0


def test_a_held_out_clip_that_is_gone_is_named_with_what_to_do(place, script):
    gone = load_checkpoint(place / BEST)["held_out"][0]
    table = place / "data/train_curated.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith(gone)))
    refused = script(place, "test.py", "--model_path", BEST, "--split", "val")
    assert refused.code == 1
    assert f"held out {gone}, which is no curated clip any more; put it back, or train that fold again" in refused.error


def test_one_of_several_folders_without_predictions_is_an_error(merge, place, script):
    refused = merge("--prediction_dir", "predictions", "predictoins")
    assert refused.code == 1
    assert "--prediction_dir predictoins: there are no such predictions in it" in refused.error
    report = ["--dataset", "tiny", "--img_rows", 32, "--img_cols", 64, "--prediction_dir", "predictions", "empty"]
    assert "--prediction_dir empty: there are no such" in script(place, "report.py", *report).error


def test_two_seeds_of_one_network_can_be_merged(train, place, merge, script):
    for fold in (0, 1):
        done = train("--seed", 9, "--fold_num", fold, "--checkpoint_dir", "b")
        assert done.code == 0, done.err
        path = BEST.replace("0-2", f"{fold}-2").replace("checkpoints/", "b/")
        assert script(place, "test.py", "--model_path", path, "--tta", 2, "--prediction_dir", "b").code == 0
    done = merge("--prediction_dir", "predictions", "b")
    assert done.code == 0, done.err
    assert "not averaged" not in done.out
    tables = [load_predictions(place / folder / PREDICTED.format(fold).split("/")[1]).probabilities
              for folder in ("predictions", "b") for fold in (0, 1)]  # fmt: skip
    merged = np.loadtxt(place / "submission.csv", delimiter=",", skiprows=1, usecols=range(1, 5))
    np.testing.assert_allclose(merged, np.mean(tables, axis=0, dtype=np.float64), rtol=1e-6)
