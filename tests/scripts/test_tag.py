"""tag.py: the same probabilities as test.py's, of any files, and one clear line for each that cannot be used."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from loaders.layouts import read_corpus
from predicting.checkpoint import load_checkpoint
from predicting.prediction_file import load_predictions
from tests.scripts.conftest import BEST

PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_{}-2.npz"
RATE = 16000


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="fname", dtype={"fname": str}, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("tta", [8, 1, 0])
def test_the_test_clips_get_the_probabilities_that_test_py_gives_them(tag, script, tagger, template, tta):
    flags = ["--model_path", BEST.format(0), "--no-use_cuda", "--tta", tta, "--prediction_dir", f"tta{tta}"]
    assert script(tagger, "test.py", *flags).code == 0
    expected = load_predictions(tagger / f"tta{tta}" / Path(PREDICTED.format(0)).name)
    clips = [template / "test" / fname for fname in expected.fnames]
    table = tag(clips, BEST.format(0), tta=tta)
    assert list(table.index) == [str(clip) for clip in clips]
    assert list(table.columns) == expected.class_names
    np.testing.assert_allclose(table.to_numpy(), expected.probabilities, rtol=0, atol=1e-6)
    assert table.to_numpy().std(axis=0).max() > 1e-3


def test_batches_across_files_change_nothing(tag, template):
    one, many = (tag(template / "test", batch_size=size) for size in (1, 32))
    np.testing.assert_allclose(one.to_numpy(), many.to_numpy(), rtol=0, atol=1e-6)


def test_several_checkpoints_give_the_mean_of_their_probabilities(tag, tagger, template):
    folds = [load_predictions(tagger / PREDICTED.format(fold)) for fold in (0, 1)]
    assert not np.allclose(folds[0].probabilities, folds[1].probabilities, atol=1e-4)
    table = tag(template / "test", [BEST.format(0), BEST.format(1)])
    mean = (folds[0].probabilities + folds[1].probabilities) / 2
    np.testing.assert_allclose(table.to_numpy(), mean, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(tag(template / "test"), table)  # the run in checkpoints/


def test_each_network_is_heard_as_its_loss_taught_it(tag, tagger, template, tmp_path):
    """The softmax of one and the sigmoid of the other, averaged."""
    state = load_checkpoint(tagger / BEST.format(1))
    torch.save(state | {"args": state["args"] | {"loss": "ce"}}, tmp_path / "ce.pth")
    clips = template / "test"
    alone = [tag(clips, path).to_numpy() for path in (BEST.format(0), tmp_path / "ce.pth")]
    np.testing.assert_allclose(alone[1].sum(axis=1), 1, rtol=1e-5)
    both = tag(clips, [BEST.format(0), tmp_path / "ce.pth"]).to_numpy()
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=0, atol=1e-6)


def test_classes_in_another_order_are_aligned_by_name(tag, tagger, template, tmp_path):
    state = load_checkpoint(tagger / BEST.format(1))
    order = [2, 0, 3, 1]
    state["class_names"] = [state["class_names"][i] for i in order]
    for name in ("weight", "bias"):
        state["model"][f"classifier.3.{name}"] = state["model"][f"classifier.3.{name}"][order]
    torch.save(state, tmp_path / "shuffled.pth")
    expected = tag(template / "test", [BEST.format(0), BEST.format(1)])
    table = tag(template / "test", [BEST.format(0), tmp_path / "shuffled.pth"])
    pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "classes", "words"),
    [
        ({"sampling_rate": 8000}, [], "sampling_rate 8000"),
        ({"img_rows": 40}, [], "img_rows 40"),
        ({"img_cols": 50}, [], "img_cols 50"),
        ({}, ["Yap"], "on other classes than"),
    ],
)
def test_checkpoints_that_do_not_go_together_are_refused(run_tag, tagger, template, tmp_path, changes, classes, words):
    state = load_checkpoint(tagger / BEST.format(1))
    state["args"] |= changes
    state["class_names"][: len(classes)] = classes
    torch.save(state | {"log": [], "best_step": 0}, tmp_path / "other.pth")  # a log names its classes, too
    refused = run_tag(template / "test", "--model_path", BEST.format(0), tmp_path / "other.pth")
    assert refused.code == 1
    assert words in refused.error


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"num_folds": 5}, "mobilenet_v3_small_tiny_best_32x64_16000_1-5_model.pth"),
        ({"dataset": "other"}, "mobilenet_v3_small_other_best_32x64_16000_1-2_model.pth"),
        ({"img_cols": 96}, "mobilenet_v3_small_tiny_best_32x96_16000_1-2_model.pth"),
    ],
)
def test_without_model_path_exactly_one_run_must_be_there(script, tagger, template, tmp_path, changes, name):
    refused = script(tmp_path, "tag.py", template / "test")
    assert refused.code == 2
    assert "--model_path" in refused.error
    shutil.copytree(tagger / "checkpoints", tmp_path / "checkpoints")
    state = load_checkpoint(tagger / BEST.format(1))
    state["args"] |= changes
    torch.save(state, tmp_path / "checkpoints" / name)
    refused = script(tmp_path, "tag.py", template / "test")
    assert refused.code == 2
    assert "2 runs" in refused.error


def test_top_labels_are_printed_best_first(run_tag, tag, template):
    done = run_tag(template / "test", "--top", 2)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == 6
    for line, (fname, scores) in zip(lines, tag(template / "test").iterrows(), strict=True):
        first, second = scores.sort_values(ascending=False).index[:2]
        assert line == f"{fname}: {first} {scores[first]:.3f}, {second} {scores[second]:.3f}"


def test_folders_are_searched_at_any_depth_and_files_named_twice_tagged_once(tag, sounds, beep):
    (sounds / "b" / "c").mkdir(parents=True)
    (sounds / "folder.wav").mkdir()
    paths = [beep(sounds / name) for name in ("z.wav", "b/c/x.FLAC", "b/y.ogg")]
    (sounds / "b" / "notes.txt").write_text("no sound")
    table = tag([sounds, sounds / "z.wav"])
    assert list(table.index) == [str(paths[i]) for i in (1, 2, 0)]


def test_silence_is_called_silence(run_tag, sounds, beep):
    sf.write(sounds / "silent.wav", np.zeros(RATE), RATE)
    sf.write(sounds / "dither.wav", np.random.default_rng(0).integers(-1, 2, 3 * RATE) / 32768, RATE)
    beep(sounds / "tone.wav")
    done = run_tag(sounds, "--csv", sounds / "tags.csv", "--json", sounds / "tags.json")
    lines = dict(line.rsplit(": ", 1) for line in done.out.splitlines())
    assert [lines[str(sounds / f"{name}.wav")] == "silence" for name in ("silent", "dither", "tone")] == [1, 1, 0]
    table = read_table(sounds / "tags.csv")
    assert table.isna().all(axis=1).tolist() == [True, True, False]
    records = json.loads((sounds / "tags.json").read_text())
    assert [record["silence"] for record in records] == [True, True, False]
    assert records[0]["scores"] is None


def test_broken_files_are_named_with_the_reason_and_the_rest_goes_on(run_tag, sounds, beep):
    (sounds / "a empty.wav").write_bytes(b"")
    (sounds / "b text.wav").write_text("no sound at all")
    good = beep(sounds / "c.wav")
    done = run_tag(sounds, sounds / "gone.wav", "x" * 300, "--csv", sounds / "tags.csv")
    assert done.code == 1
    said = done.err.splitlines()
    assert len(said) == 5
    assert said[4] == "tag.py: 4 of 5 files cannot be used"
    assert "name too long" in said[3]
    for line, (name, reason) in zip(
        said, [("a empty", "0 bytes"), ("b text", "not readable"), ("gone", "no such file")], strict=False
    ):
        assert line.startswith(f"tag.py: {sounds / name}.wav: ")
        assert reason in line
    assert list(read_table(sounds / "tags.csv").index) == [str(good)]


def write_opposite(path: Path, seconds: float = 3.0) -> tuple[Path, Path]:
    """A file of two opposite channels, and one of the first of them alone."""
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    one = path.with_name(f"one {path.name}")
    sf.write(path, np.stack([noise, -noise], axis=1), RATE, subtype="FLOAT")
    sf.write(one, noise, RATE, subtype="FLOAT")
    return path, one


@pytest.mark.parametrize("seconds", [3.0, 62.0])
def test_of_opposite_channels_one_is_heard_and_that_is_said(run_tag, sounds, seconds):
    both, one = write_opposite(sounds / "x.wav", seconds)
    done = run_tag(both, one, "--csv", sounds / "tags.csv")
    assert done.code == 0
    assert done.error == f"tag.py: {both}: its channels cancel out; channel 1 of 2 is taken alone"
    table = read_table(sounds / "tags.csv")
    np.testing.assert_array_equal(table.iloc[0], table.iloc[1])


def test_a_file_that_was_cut_off_is_tagged_and_named(run_tag, sounds, beep):
    cut = beep(sounds / "cut.wav", 2.0)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    done = run_tag(cut)
    assert done.code == 0
    assert done.out.startswith(f"{cut}: ")
    assert done.error == f"tag.py: {cut}: it was cut off or is damaged: holds 1.00 of its 2.00 seconds"


def test_from_python_broken_and_odd_files_are_warned_of_and_only_odd_ones_have_a_row(tag, sounds):
    both, one = write_opposite(sounds / "x.wav")
    with pytest.warns(UserWarning, match="no such file|x.wav: its channels cancel out") as warned:
        table = tag([one, sounds / "gone.wav", both])
    assert list(table.index) == [str(one), str(both)]
    assert len(warned) == 2


ODD = ["a b.wav", "it's.wav", 'say "hi", you.wav', "-dash.wav", "größe 犬.wav", "new\nline.wav", "$x^$.wav", "NA.wav"]


def test_odd_file_names_come_back_from_csv_and_json(run_tag, sounds, beep):
    paths = [str(beep(sounds / name, 0.3)) for name in ODD]
    done = run_tag(*paths, "--csv", sounds / "t.csv", "--json", sounds / "t.json", "--timeline", sounds / "times")
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == len(ODD)
    table = read_table(sounds / "t.csv")
    records = json.loads((sounds / "t.json").read_text(encoding="utf-8"))
    assert list(table.index) == [record["fname"] for record in records] == paths
    scores = pd.DataFrame([record["scores"] for record in records], index=table.index)
    np.testing.assert_allclose(table.to_numpy(), scores[table.columns].to_numpy(), rtol=1e-6)
    assert len(list((sounds / "times").glob("*.png"))) == len(list((sounds / "times").glob("*.csv"))) == len(ODD)


def test_a_leading_dash_needs_two_dashes_before(script, tagger, sounds, beep):
    beep(sounds / "-dash.wav")
    done = script(sounds, "tag.py", "--no-use_cuda", "--model_path", tagger / BEST.format(0), "--", "-dash.wav")
    assert done.out.startswith("-dash.wav: ")


def test_a_name_that_is_not_utf8_is_refused_and_the_rest_goes_on(run_tag, sounds, beep):
    good = beep(sounds / "good.wav")
    shutil.copy(good, os.fsencode(sounds) + b"/b\xffd.wav")
    done = run_tag(sounds)
    assert done.code == 1
    assert "not UTF-8" in done.error
    assert done.out.startswith(str(good))


@pytest.mark.parametrize("folder", [False, True])
def test_sounds_after_the_checkpoints_are_sounds(run_tag, template, folder):
    sounds = [template / "test"] if folder else sorted((template / "test").glob("*.wav"))
    checkpoints = ["--model_path", BEST.format(0), BEST.format(1)]
    after = run_tag(*checkpoints, *sounds)
    assert (after.code, after.err) == (0, "")
    assert after.out == run_tag(*sounds, *checkpoints).out
    assert len(after.out.splitlines()) == 6
    assert run_tag(*sounds[:1], *checkpoints, *sounds[1:]).out == after.out


def test_a_terminal_that_knows_ascii_only_ends_nothing(process, tagger, sounds, beep):
    beep(sounds / "größe 犬.wav")
    (sounds / "größe.wav").write_text("no sound")
    flags = ["tag.py", sounds, "--model_path", BEST.format(0), "--no-use_cuda", "--csv", sounds / "t.csv"]
    done = process(tagger, *flags, PYTHONIOENCODING="ascii:strict")
    assert done.code == 1
    assert done.out.startswith(str(sounds) + r"/gr\xf6\xdfe \u72ac.wav: ")
    assert r"gr\xf6\xdfe.wav: " in done.error
    assert list(read_table(sounds / "t.csv").index) == [str(sounds / "größe 犬.wav")]


def test_export_hands_over_the_one_checkpoint(run_tag, module_of, tagger, monkeypatch, tmp_path):
    handed = []
    monkeypatch.setattr(module_of("tag.py"), "export_onnx", lambda *args: handed.append(args))
    done = run_tag("--export", tmp_path / "x.onnx", "--model_path", BEST.format(1))
    assert (done.code, done.err) == (0, "")
    (output, path, state), *others = handed
    assert (output, path, others) == (tmp_path / "x.onnx", Path(BEST.format(1)), [])
    assert state["class_names"] == load_checkpoint(tagger / BEST.format(1))["class_names"]
    assert "probabilities of 4 classes" in done.out


REFUSED = {  # flags -> exit code, and what the one line must hold; DATA are six clips, EMPTY a folder
    "": (2, "name sound files"),
    f"x.wav --model_path {BEST.format(0)} {BEST.format(0)}": (2, "twice"),
    "x.wav --export x.onnx": (2, "--export"),
    "--export x.onnx": (2, "one checkpoint"),
    f"--export {BEST.format(0)} --model_path {BEST.format(0)}": (2, "overwritten"),
    "x.wav --top 0": (2, "--top"),
    f"--model_path {BEST.format(0)} x.xyz": (2, "x.xyz was taken for a checkpoint"),
    "--model_path x.wav": (2, "x.wav was taken for a checkpoint"),
    "DATA --timeline t.png": (2, "6 files"),
    "EMPTY": (1, "no sound files"),
    "DATA --model_path EMPTY/bomb.pth": (1, "bomb.pth"),
}


@pytest.mark.parametrize("flags", REFUSED)
def test_misuse_and_what_cannot_be_used_are_one_line(run_tag, template, sounds, flags):
    (sounds / "bomb.pth").write_bytes(b"\x80\x05cos\nsystem\n.")
    refused = run_tag(*flags.replace("DATA", str(template / "test")).replace("EMPTY", str(sounds)).split())
    code, words = REFUSED[flags]
    assert refused.code == code
    assert words in refused.error


def test_the_function_is_imported_under_the_name_of_the_script(process, request, tagger, template):
    code = f"from tag import tag; print(len(tag({str(template / 'test')!r}, device='cpu')))"
    done = process(tagger, sys.executable, "-c", code, PYTHONPATH=str(request.config.rootpath))
    assert done.out == f"{len(read_corpus(template).subset('test').fnames)}\n", done.err
