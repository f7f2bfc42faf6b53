"""tag.py: the same probabilities as test.py's, of any files, one clear line for each that cannot be used, and what it
writes: tables, events, timelines.
"""

import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from predicting.checkpoint import load_checkpoint
from predicting.prediction_file import load_predictions
from predicting.runs import checkpoint_path
from tests.scripts.conftest import BEST

PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_{}-2.npz"
RATE = 16000


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="fname", dtype={"fname": str}, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("tta", [1, 0])
def test_the_test_clips_get_the_probabilities_that_test_py_gives_them(tag, script, tagger, template, tta):
    flags = ["--model_path", BEST.format(0), "--no-use_cuda", "--tta", tta, "--prediction_dir", f"tta{tta}"]
    script(tagger, "test.py", *flags).ok()
    expected = load_predictions(tagger / f"tta{tta}" / Path(PREDICTED.format(0)).name)
    clips = [template / "test" / fname for fname in expected.fnames]
    table = tag(clips, BEST.format(0), tta=tta)
    assert list(table.index) == [str(clip) for clip in clips]
    assert list(table.columns) == expected.class_names
    np.testing.assert_allclose(table.to_numpy(), expected.probabilities, rtol=0, atol=1e-6)
    assert table.to_numpy().std(axis=0).max() > 1e-3


def test_several_checkpoints_give_the_mean_of_their_probabilities(tag, tagger, template):
    folds = [load_predictions(tagger / PREDICTED.format(fold)) for fold in (0, 1)]
    assert not np.allclose(folds[0].probabilities, folds[1].probabilities, atol=1e-4)
    table = tag(template / "test", [BEST.format(0), BEST.format(1)], batch_size=1)
    mean = (folds[0].probabilities + folds[1].probabilities) / 2
    np.testing.assert_allclose(table.to_numpy(), mean, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(tag(template / "test"), table, rtol=0, atol=1e-6)  # the run in checkpoints/


def test_a_network_of_another_loss_and_order_of_classes_is_averaged_by_name(tag, tagger, template, tmp_path):
    """The sigmoid of one and the softmax of the other."""
    state = load_checkpoint(tagger / BEST.format(1))
    order = [2, 0, 3, 1]
    state["class_names"] = [state["class_names"][i] for i in order]
    for name in ("weight", "bias"):
        state["model"][f"classifier.3.{name}"] = state["model"][f"classifier.3.{name}"][order]
    torch.save(state | {"args": state["args"] | {"loss": "ce"}}, tmp_path / "ce.pth")
    paths = [BEST.format(0), tmp_path / "ce.pth"]
    one, other, both = (tag(template / "test", chosen) for chosen in (*paths, paths))
    np.testing.assert_allclose(other.sum(axis=1), 1, rtol=1e-5)
    pd.testing.assert_frame_equal(both, (one + other[one.columns]) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("least", "none"), [(0.99, True), (0.0, False)])
def test_a_file_whose_labels_all_lie_below_their_thresholds_has_none_of_them(
    run_tag, tagger, template, tmp_path, least, none
):
    clip, paths = min((template / "test").iterdir()), []
    for fold, threshold in enumerate((least, 1.0 if none else 0.0)):
        state = load_checkpoint(tagger / BEST.format(fold))
        assert state["presence"]["thresholds"].shape == (4,)
        state["presence"]["thresholds"].fill_(threshold)
        paths.append(tmp_path / f"{fold}.pth")
        torch.save(state, paths[-1])
    done = run_tag(clip, "--model_path", *paths, "--csv", tmp_path / "tags.csv").ok()
    assert ("none of the 4 labels; closest: " in done.out) == none
    assert read_table(tmp_path / "tags.csv").notna().all(axis=None)
    torch.save(load_checkpoint(paths[1]) | {"presence": {}}, paths[1])  # of before there were thresholds
    assert "none of" not in run_tag(clip, "--model_path", *paths).out


OTHERS = {  # how another checkpoint differs -> what is said of it and the first
    "sampling_rate 8000": {"sampling_rate": 8000},
    "img_cols 50": {"img_cols": 50},
    "on other classes than": {},
}


@pytest.mark.parametrize("words", OTHERS)
def test_checkpoints_that_do_not_go_together_are_refused(run_tag, tagger, template, tmp_path, words):
    state = load_checkpoint(tagger / BEST.format(1))
    state["args"] |= OTHERS[words]
    if not OTHERS[words]:
        state["class_names"][0] = "Yap"
    torch.save(state | {"log": [], "best_step": 0}, tmp_path / "other.pth")  # a log names its classes, too
    assert words in run_tag(template / "test", "--model_path", BEST.format(0), tmp_path / "other.pth").refused()


@pytest.mark.parametrize(
    ("changes", "code", "said"), [({"num_folds": 5}, 2, "2 runs"), ({"dataset": "other"}, 1, "make them alike")]
)
def test_without_model_path_exactly_one_run_must_be_there(script, tagger, template, tmp_path, changes, code, said):
    assert "--model_path" in script(tmp_path, "tag.py", template / "test").refused(2)
    shutil.copytree(tagger / "checkpoints", tmp_path / "checkpoints")
    state = load_checkpoint(tagger / BEST.format(1))
    state["args"] |= changes
    torch.save(state, checkpoint_path(Namespace(**state["args"], checkpoint_dir=tmp_path / "checkpoints"), "best"))
    assert said in script(tmp_path, "tag.py", template / "test").refused(code)


def test_top_labels_are_printed_best_first(run_tag, tag, template):
    done, table = run_tag(template / "test", "--top", 2), tag(template / "test")
    assert (done.code, done.err) == (0, "")
    for line, (fname, scores) in zip(done.out.splitlines(), table.iterrows(), strict=True):
        first, second = scores.nlargest(2).index
        assert line == f"{fname}: {first} {scores[first]:.3f}, {second} {scores[second]:.3f}"


def test_silence_is_called_silence_and_no_file_overtakes_another(run_tag, sounds, beep):
    sf.write(sounds / "dither.wav", np.random.default_rng(0).integers(-1, 2, 3 * RATE) / 32768, RATE)
    sf.write(sounds / "long.wav", np.zeros(61 * RATE), RATE)
    beep(sounds / "a tone, which waits for its batch.wav")
    done = run_tag(sounds, "--csv", sounds / "tags.csv", "--json", sounds / "tags.json")
    table = read_table(sounds / "tags.csv")
    assert list(table.index) == sorted(map(str, sounds.glob("*.wav")))
    assert table.isna().all(axis=1).tolist() == [False, True, True]
    assert [line.endswith(": silence") for line in done.out.splitlines()] == [False, True, True]
    records = json.loads((sounds / "tags.json").read_text())
    assert [record["silence"] for record in records] == [record["scores"] is None for record in records] == [0, 1, 1]


def test_broken_files_are_named_with_the_reason_and_the_rest_goes_on(run_tag, tag, sounds, beep):
    (sounds / "a empty.wav").write_bytes(b"")
    (sounds / "b text.wav").write_text("no sound at all")
    cut = beep(sounds / "c cut.wav", 2.0)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    done = run_tag(sounds, sounds / "gone.wav", "x" * 300, "--csv", sounds / "tags.csv")
    assert done.code == 1
    *said, too_long, count = done.err.splitlines()
    assert count == "tag.py: 4 of 5 files cannot be used"
    assert "name too long" in too_long
    reasons = {
        "a empty": "0 bytes",
        "b text": "not readable",
        "c cut": "holds 1.00 of its 2.00",
        "gone": "no such file",
    }
    for line, (name, reason) in zip(said, reasons.items(), strict=True):
        assert line.startswith(f"tag.py: {sounds / name}.wav: ")
        assert reason in line
    table = read_table(sounds / "tags.csv")
    assert list(table.index) == [str(cut)]
    with pytest.warns(UserWarning, match="no such file|holds 1.00 of its 2.00") as warned:
        from_python = tag([cut, sounds / "gone.wav"])
    assert len(warned) == 2
    pd.testing.assert_frame_equal(from_python, table, check_dtype=False, rtol=1e-6)


@pytest.mark.parametrize("seconds", [3, 62])
def test_of_opposite_channels_one_is_heard_and_that_is_said(run_tag, sounds, seconds):
    noise = np.random.default_rng(0).normal(0, 0.1, seconds * RATE)
    both, one = sounds / "x.wav", sounds / "y.wav"
    sf.write(both, np.stack([noise, -noise], axis=1), RATE, subtype="FLOAT")
    sf.write(one, noise, RATE, subtype="FLOAT")
    done = run_tag(sounds, "--csv", sounds / "tags.csv").ok()
    assert done.error == f"tag.py: {both}: its channels cancel out; channel 1 of 2 is taken alone"
    table = read_table(sounds / "tags.csv")
    np.testing.assert_array_equal(table.iloc[0], table.iloc[1])


ODD = ["a b.wav", "it's.wav", 'say "hi", you.wav', "-dash.wav", "größe 犬.wav", "new\nline.wav", "$x^$.wav", "NA.wav"]


def test_odd_file_names_come_back_from_csv_and_json(run_tag, sounds, beep):
    paths = [str(beep(sounds / name, 0.3)) for name in ODD]
    done = run_tag(*paths, "--csv", sounds / "t.csv", "--json", sounds / "t.json")
    assert (done.code, done.err, len(done.out.splitlines())) == (0, "", len(ODD))
    table = read_table(sounds / "t.csv")
    records = json.loads((sounds / "t.json").read_text(encoding="utf-8"))
    assert list(table.index) == [record["fname"] for record in records] == paths
    scores = pd.DataFrame([record["scores"] for record in records], index=table.index)
    np.testing.assert_allclose(table.to_numpy(), scores[table.columns].to_numpy(), rtol=1e-6)


def test_a_leading_dash_needs_two_dashes_and_a_name_that_is_not_utf8_is_refused(script, tagger, sounds, beep):
    shutil.copy(beep(sounds / "-dash.wav"), os.fsencode(sounds) + b"/b\xffd.wav")
    done = script(sounds, "tag.py", "--no-use_cuda", "--model_path", tagger / BEST.format(0), "--", "-dash.wav", ".")
    assert done.code == 1
    assert "not UTF-8" in done.error
    assert done.out.startswith("-dash.wav: ")


def test_sounds_after_the_checkpoints_are_sounds_and_each_is_tagged_once(run_tag, template):
    first, *others = sorted((template / "test").glob("*.wav"))
    checkpoints = ["--model_path", BEST.format(0), BEST.format(1)]
    one, other = (run_tag(*flags) for flags in ([first, first, *others, *checkpoints], [first, *checkpoints, *others]))
    assert one == other
    assert (one.code, len(one.out.splitlines()), one.err) == (0, 6, "")


def test_export_hands_over_the_one_checkpoint(run_tag, module_of, monkeypatch, tmp_path):
    handed = []
    monkeypatch.setattr(module_of("tag.py"), "export_onnx", lambda *args: handed.append(args[:2]))
    done = run_tag("--export", tmp_path / "x.onnx", "--model_path", BEST.format(1))
    assert (done.code, done.err, handed) == (0, "", [(tmp_path / "x.onnx", Path(BEST.format(1)))])
    assert "probabilities of 4 classes" in done.out


REFUSED = {  # flags -> exit code, and what the one line must hold; DATA are six clips, EMPTY a folder
    "": (2, "name sound files"),
    f"x.wav --model_path {BEST.format(0)} {BEST.format(0)}": (2, "twice"),
    "x.wav --export x.onnx": (2, "--export"),
    "--export x.onnx": (2, "one checkpoint"),
    f"--export {BEST.format(0)} --model_path {BEST.format(0)}": (2, "overwritten"),
    "x.wav --top 0": (2, "--top"),
    "DATA --events x.txt": (2, "name a folder"),
    f"--model_path {BEST.format(0)} x.xyz": (2, "x.xyz was taken for a checkpoint"),
    "--model_path x.wav": (2, "x.wav was taken for a checkpoint"),
    "DATA --timeline t.png": (2, "6 files"),
    "EMPTY": (1, "no sound files"),
    "DATA --model_path EMPTY/bomb.pth": (1, "bomb.pth"),
}


@pytest.mark.parametrize("flags", REFUSED)
def test_misuse_and_what_cannot_be_used_are_one_line(run_tag, template, sounds, flags):
    (sounds / "bomb.pth").write_bytes(b"\x80\x05cos\nsystem\n.")
    code, words = REFUSED[flags]
    flags = flags.replace("DATA", str(template / "test")).replace("EMPTY", str(sounds))
    assert words in run_tag(*flags.split()).refused(code)


def test_events_as_a_table_and_as_tracks_and_from_python(run_tag, module_of, tagger, sounds, beep):
    beep(sounds / "one.wav", 2.0), beep(sounds / "two.wav", 3.0)
    files = [sounds / "one.wav", sounds / "two.wav"]
    how = ["--model_path", BEST.format(0), "--threshold", 0.0]
    done = run_tag(*files, *how, "--events", sounds / "all.tsv")
    assert (done.code, done.err) == (0, "")
    table = pd.read_csv(sounds / "all.tsv", sep="\t")
    assert len(table) == 8  # four labels, each as long as its file
    assert (table.groupby("filename").offset.max().to_numpy() <= [2.0, 3.0]).all()
    run_tag(*files, *how, "--events", sounds / "tracks").ok()
    assert sorted(path.name for path in (sounds / "tracks").iterdir()) == ["one.wav.txt", "two.wav.txt"]
    none = run_tag(*files, "--model_path", BEST.format(0), "--threshold", 1.0, "--events", sounds / "none.tsv").ok()
    assert (sounds / "none.tsv").read_text() == "filename\tonset\toffset\tevent_label\n"
    assert "none of the 4 labels" in none.out
    again = module_of("tag.py").events(files, tagger / BEST.format(0), threshold=0.0)
    assert list(again.columns) == [*table.columns, "score"]
    np.testing.assert_allclose(again.onset, table.onset, atol=1e-3)


def test_a_timeline_has_a_row_per_second_and_is_empty_where_it_is_silent(run_tag, sound, sounds):
    """Of 65.3 s at another rate: 20 s of rain, 10 s of nothing, then a hum."""
    rng, rate = np.random.default_rng(0), 22050
    parts = [sound(rng, "Rain", 20, rate), np.zeros(10 * rate), sound(rng, "Hum", 35.3, rate)]
    sf.write(sounds / "long.wav", np.concatenate(parts), rate)
    done = run_tag(sounds, "--timeline", sounds / "times", "--csv", sounds / "tags.csv").ok()
    table = pd.read_csv(sounds / "times" / "long.wav.csv", index_col=["fname", "second"]).droplevel("fname")
    assert list(table.index) == list(range(66))
    silent = set(np.flatnonzero(table.isna().all(axis=1)))
    assert set(range(21, 29)) <= silent <= set(range(20, 30))  # resampling rings a little
    assert table.drop(silent).notna().all(axis=None)
    np.testing.assert_allclose(table.mean(), read_table(sounds / "tags.csv").iloc[0], rtol=1e-5)
    assert (sounds / "times" / "long.wav.png").read_bytes().startswith(b"\x89PNG")
    assert " at 0:" in done.out


@pytest.mark.parametrize("seconds", [0.05, 2.4])
def test_short_files_have_timelines_of_their_own_length_too(run_tag, sounds, seconds, beep):
    beep(sounds / "x.wav", seconds)
    run_tag(sounds / "x.wav", "--timeline", sounds / "t.png").ok()
    assert len(pd.read_csv(sounds / "t.csv")) == np.ceil(seconds)


def test_timelines_keep_the_folders_below_what_holds_them_all_and_say_their_file(run_tag, sounds, beep):
    for name in ("oak/1.WAV", "river/1.WAV", "river/deep/1.WAV"):
        (sounds / name).parent.mkdir(exist_ok=True)
        beep(sounds / name)
    run_tag(sounds / "oak/1.WAV", sounds / "river", "--timeline", sounds / "times").ok()
    for name in ("oak/1.WAV", "river/1.WAV", "river/deep/1.WAV"):
        assert (sounds / "times" / f"{name}.png").exists()
        assert set(pd.read_csv(sounds / "times" / f"{name}.csv")["fname"]) == {str(sounds / name)}


OVERWRITTEN = ["--csv x.wav", "--timeline t.png --csv t.csv", "--csv t --json t"]


@pytest.mark.parametrize("flags", [*OVERWRITTEN, "--csv=", "--csv ."])
def test_an_output_that_cannot_be_or_would_replace_something_is_refused(script, sounds, beep, flags):
    beep(sounds / "x.wav")
    error = script(sounds, "tag.py", "x.wav", *flags.split()).refused(2)
    assert ("overwritten" if flags in OVERWRITTEN else "folder") in error
    assert sf.info(sounds / "x.wav").duration == 1
