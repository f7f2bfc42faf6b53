"""No result outlives what it was made from, and no run overwrites another one."""

import errno
import fcntl
import os
import shutil

import numpy as np
import pytest
import soundfile as sf

from predicting.checkpoint import load_checkpoint, save_checkpoint
from predicting.prediction_file import load_predictions
from utils import locks

LAST, BEST = (f"checkpoints/mobilenet_v3_small_tiny_{kind}_32x64_16000_0-2_model.pth" for kind in ("last", "best"))
PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_{}-2.npz"
RUN = ["--dataset", "tiny", "--img_rows", 32, "--img_cols", 64]
AS_TRAINED = ["--n_iter", 2, "--eval_freq", 0, "--shift_share", 0.2]  # those of the fixture `tagger`


@pytest.fixture
def train(script, place, tiny_flags):
    return lambda *flags: script(place, "train.py", *tiny_flags, *AS_TRAINED, *flags)


@pytest.fixture
def predict(script, place):
    return lambda *flags: script(place, "test.py", "--if_needed", "--model_path", BEST, "--no-use_cuda", *flags)


@pytest.fixture
def merge(script, place):
    return lambda *more: script(place, "merge.py", *RUN, *more)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def reverse(script, place, pattern):
    """Other sounds, and their features."""
    for path in (place / "data").glob(pattern):
        samples, rate = sf.read(path)
        sf.write(path, samples[::-1], rate)
    features = ["--dataset", "tiny", "--sampling_rate", 16000, "--img_rows", 32, "--jobs", 1]
    script(place, "loaders/freesound_loader.py", *features).ok()


def replace_checkpoint(script, place):
    state = load_checkpoint(place / BEST)
    state["model"]["classifier.3.bias"] += 1
    save_checkpoint(place / BEST, state)


def add_clip(script, place):
    shutil.copy(place / "data/test/test00.wav", place / "data/test/new.wav")
    with open(place / "data/sample_submission.csv", "a") as sample:
        sample.write("new.wav,0,0,0,0\n")
    (place / "data/test_post_competition.csv").unlink()
    reverse(script, place, "test/new.wav")


OUTDATED = {  # what happens to a prediction -> whether its probabilities differ then
    "audio": (lambda script, place: reverse(script, place, "test/test00.wav"), True),
    "clip": (add_clip, True),
    "checkpoint": (replace_checkpoint, True),
    "--tta 3": (lambda script, place: None, True),
    "--precision bf16": (lambda script, place: None, True),
    "table": (lambda script, place: (place / PREDICTED.format(0)).with_suffix(".csv").unlink(), False),
    "damage": (lambda script, place: (place / PREDICTED.format(0)).write_bytes(b"x"), False),
}


@pytest.mark.parametrize("what", OUTDATED)
def test_predictions_that_are_out_of_date_are_made_again(predict, place, script, what):
    before, flags = load_predictions(place / PREDICTED.format(0)), what.split() if what.startswith("--") else []
    change, differs = OUTDATED[what]
    change(script, place)
    done = predict(*flags).ok()
    assert "is up to date" not in done.out
    now = load_predictions(place / PREDICTED.format(0))
    assert differs != np.array_equal(now.probabilities, before.probabilities)
    made = (place / PREDICTED.format(0)).stat().st_mtime_ns
    assert "is up to date" in predict(*flags).out
    assert (place / PREDICTED.format(0)).stat().st_mtime_ns == made


def test_predictions_of_what_was_replaced_are_not_merged(merge, place, script):
    merge().ok()
    reverse(script, place, "test/test03.wav")
    assert "the features of the clips changed" in merge().refused()
    replace_checkpoint(script, place)
    error = merge().refused()
    assert "since it was made, the checkpoint and the features of the clips changed" in error
    assert f"python test.py --model_path {BEST} --split test" in error


def rename_class(script, place):
    for path in (place / "data").glob("*.csv"):
        path.write_text(path.read_text().replace("Bark", "Yap"))


CHANGED = {  # since a run was trained -> what the refusal says
    "a noisy label": (lambda _, place: edit(place / "data/train_noisy.csv", '"Bark"', '"Rain"'),
                      "the labels or weights of the training clips changed"),
    "a curated label": (lambda _, place: edit(place / "data/train_curated.csv", '"Bark"', '"Rain"'), "the labels"),
    "a clip": (lambda _, place: edit(place / "data/train_noisy.csv", 'oisy07.wav,"Bark"\n', ""), "the training clips"),
    "the classes": (rename_class, "the classes"),
    "curated sounds": (lambda run, place: reverse(run, place, "train_curated/*"), "the features of the training clips"),
    "noisy sounds": (lambda run, place: reverse(run, place, "train_noisy/*"), "the features of the training clips"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_a_run_whose_data_have_changed_is_named_and_not_gone_on_with(train, place, script, what):
    change, said = CHANGED[what]
    change(script, place)
    error = train("--resume", "auto").refused()
    assert all(text in error for text in (said, LAST, "--overwrite"))
    again = train("--resume", "auto", "--overwrite").ok()
    assert "resuming" not in again.out


def test_the_order_of_rows_and_classes_is_no_content(train, place, merge, predict):
    for path in (place / "data").glob("train_*.csv"):
        header, *rows = path.read_text().splitlines(True)
        path.write_text(header + "".join(rows[::-1]))
    edit(place / "data/sample_submission.csv", "Bark,Hum,Rain,Whistle", "Whistle,Bark,Rain,Hum")
    before = load_checkpoint(place / LAST)
    done = train("--resume", "auto").ok()
    assert "resuming after step 2 of 2" in done.out
    assert load_checkpoint(place / LAST)["made_from"] == before["made_from"]
    predict().ok()
    merge().ok()


OTHER = (2, f"{LAST} is there already, of another run, with --", "--overwrite", "--checkpoint_dir")
OUTCOMES = {  # flags -> exit code, and what is said
    "": (2, "step 2 of 2 of the same run; go on with --resume auto", "--overwrite"),
    "--resume auto": (0, "resuming after step 2 of 2"),
    "--overwrite": (0, "recipe"),
    "--resume auto --checkpoint_dir new": (0, "recipe"),
    "--seed 9": (*OTHER, "--seed 1234 (here 9)"),
    "--recipe improved": (*OTHER, "--use_mix_up False (here True)"),
    "--n_iter 3 --resume auto": (*OTHER, "--n_iter 2 (here 3)"),
    "--seed 9 --overwrite": (0, "recipe"),
    "--seed 9 --overwrite --resume auto": (0, "recipe"),
}


@pytest.mark.parametrize("flags", OUTCOMES)
def test_a_run_starts_goes_on_or_is_refused_and_overwrites_no_other_unless_that_is_wanted(train, place, flags):
    code, *said = OUTCOMES[flags]
    before = (place / LAST).read_bytes()
    done = train(*flags.split())
    assert done.code == code
    assert all(text in (done.error if code else done.out) for text in said)
    assert ("resuming" in done.out) == ("resuming" in said[0])
    if code:
        assert (place / LAST).read_bytes() == before
    elif "new" not in flags:
        assert load_checkpoint(place / BEST)["args"]["seed"] == (9 if "--seed 9" in flags else 1234)


def test_a_damaged_checkpoint_is_replaced_only_if_that_is_wanted(train, place):
    (place / BEST).write_bytes(b"of another run")
    error = train("--resume", "auto").refused(2)
    assert all(text in error for text in (BEST, "damaged", "--overwrite"))
    assert "resuming after step 2 of 2" in train("--resume", "auto", "--overwrite").out
    assert load_checkpoint(place / BEST)["step"] == 2


def test_a_run_that_goes_on_overwrites_no_other_one(train, place):
    train("--seed", 9, "--checkpoint_dir", "other").ok()
    assert "--seed 9 (here 1234)" in train("--resume", LAST, "--checkpoint_dir", "other").refused(2)
    train("--resume", LAST, "--checkpoint_dir", "other", "--overwrite").ok()
    assert load_checkpoint(place / BEST.replace("checkpoints", "other"))["args"]["seed"] == 1234


def test_the_report_shows_the_curves_of_the_run_that_made_the_predictions(train, place, script):
    train("--seed", 9, "--checkpoint_dir", "b").ok()
    for path in (place / "checkpoints").glob("*_log.jsonl"):
        path.unlink()
    left_out = f"leaving out the log of b/{BEST.split('/')[1]}: it did not make these predictions"
    for flags, said in {"": "", "--checkpoint_dir b": left_out}.items():
        done = script(place, "report.py", *RUN, "--clips", 0, "--noisy_clips", 0, *flags.split()).ok()
        assert said in done.out
        assert "There are no logs of these folds" in (place / "report.html").read_text(encoding="utf-8")


def test_scores_of_noisy_clips_by_a_network_that_has_changed_are_refused(train, place, script):
    first = ["--split", "train_curated", "--checkpoint_dir", "first"]
    train(*first).ok()
    path = BEST.replace("checkpoints/", "first/")
    flags = ["--model_path", path, "--tta", 1, "--split", "train_noisy", "--prediction_dir", "scores"]
    script(place, "test.py", *flags).ok()
    second = ["--noisy_scores", "scores", "--noisy_precision", 0.1, "--checkpoint_dir", "second"]
    train(*second).ok()
    train(*first, "--overwrite", "--l_rate", 0.05).ok()
    assert "since it was made, the checkpoint changed" in train(*second, "--resume", "auto").refused()


def test_folds_that_were_trained_on_different_labels_are_not_merged(train, place, merge, script):
    edit(place / "data/train_noisy.csv", '"Bark"', '"Rain"')
    path = BEST.replace("0-2", "1-2")
    train("--fold_num", 1, "--overwrite").ok()
    script(place, "test.py", "--model_path", path).ok()
    assert "was trained on other labels than" in merge().refused()
    script(place, "test.py", "--model_path", path, "--prediction_dir", "alone").ok()
    merge("--prediction_dir", "alone", "--allow_missing").ok()


@pytest.mark.parametrize("name", ["merge.py", "report.py"])
def test_one_of_several_folders_without_predictions_is_an_error(place, script, name):
    error = script(place, name, *RUN, "--prediction_dir", "predictions", "predictoins").refused()
    assert "predictoins: no predictions of --dataset tiny" in error


def spoil(path, **changes):
    state = load_checkpoint(path)
    save_checkpoint(path, state | {name: change(state[name]) for name, change in changes.items()})


OTHERS = {  # how `last` differs from the run of `best`, and what is said
    "step": ({"step": lambda _: 1, "best_step": lambda _: 0, "log": lambda _: []}, "step 2 and 0"),
    "flags": ({"args": lambda args: args | {"l_rate": 0.5}}, "l_rate 0.01 and 0.5"),
    "data": ({"made_from": lambda made: made | {"the training clips": "x"}}, "the training clips changed"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_best_checkpoint_that_is_not_of_the_run_beside_it_is_refused_before_anything_is_predicted(
    place, script, template, what
):
    changes, said = OTHERS[what]
    spoil(place / LAST, **changes)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.rglob("*.*")}
    for command in (
        ["test.py", "--model_path", BEST],
        ["tag.py", template / "test"],
        ["tag.py", template / "test", "--model_path", BEST],
        ["on_kaggle/pack.py", "--dataset", "tiny", "--num_folds", 2, "--no-wheels"],
    ):
        error = script(place, *command).refused()
        assert f"{BEST} is not the best checkpoint of the run of {LAST.split('/')[1]}: {said}" in error
        assert f"python train.py --resume {LAST}" in error
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in place.rglob("*.*")} == before


def test_a_fold_of_another_run_with_the_same_labels_is_not_averaged(place, script, template):
    for path in (BEST, LAST):
        spoil(place / path.replace("0-2", "1-2"), args=lambda args: args | {"l_rate": 0.5})
    assert "l_rate" in script(place, "tag.py", template / "test").refused()


def test_copies_are_named_and_a_lock_left_behind_disturbs_nobody(place, script):
    alone = script(place, "tag.py", "data/test/test00.wav")
    (place / "checkpoints" / ".mobilenet_v3_small_tiny_32x64_16000_0-2_log.lock").write_text("process 1 on nowhere\n")
    copies = [place / BEST.replace("mobile", "old_mobile"), place / BEST.replace(".pth", " (copy).pth")]
    for copy in copies:
        shutil.copy(place / BEST, copy)
    done = script(place, "tag.py", "data/test/test00.wav")
    assert (done.code, done.out) == (0, alone.out)
    assert all(copy.name in done.error for copy in copies)
    error = script(place, "tag.py", "data/test/test00.wav", "--model_path", place / BEST, copies[0]).refused(2)
    assert "names one network twice" in error


@pytest.mark.parametrize("code", [errno.ENOLCK, 0])
def test_where_there_are_no_locks_it_goes_on_and_says_so_once(train, monkeypatch, code):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail) if code else monkeypatch.setattr(locks, "fcntl", None)
    done = train("--checkpoint_dir", "elsewhere").ok()
    assert done.error.startswith("elsewhere lies where files cannot be locked (")
