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
from utils.checkpoint import load_checkpoint
from utils.ensemble import build_network
from utils.predictions import load_predictions

BEST = "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_{}-2_model.pth"
PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_{}-2.npz"
RATE = 16000


def sharpen(path: Path) -> None:
    """Make a network that was hardly trained tell clips apart, so that a crop in another place would be seen."""
    torch.manual_seed(0)
    state = load_checkpoint(path)
    model = build_network(path, state).train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    for _ in range(8):
        model(torch.rand(16, 1, 32, 64) * torch.rand(16, 1, 32, 1) ** 4)
    model.classifier[-1].weight.data *= 20
    torch.save(state | {"model": model.state_dict()}, path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, template, script, tiny_flags) -> Path:
    """A folder with config.json, and both folds of a run whose scores differ from clip to clip."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(json.dumps({"tiny": {"data_path": str(template)}}))
    for fold in (0, 1):
        done = script(folder, "train.py", *tiny_flags, "--n_iter", 2, "--eval_freq", 0, "--fold_num", fold)
        assert done.code == 0, done.err
        sharpen(folder / BEST.format(fold))
        done = script(folder, "test.py", "--model_path", BEST.format(fold), "--no-use_cuda")
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(script, trained):
    """Run tag.py beside the checkpoints."""
    return lambda *flags: script(trained, "tag.py", *flags, "--no-use_cuda")


@pytest.fixture
def tag(module_of, trained, monkeypatch):
    """tag.py's function, beside the checkpoints."""
    monkeypatch.chdir(trained)
    return lambda *args, **how: module_of("tag.py").tag(*args, use_cuda=False, **how)


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty folder for sound files and tables."""
    (tmp_path / "sounds").mkdir()
    return tmp_path / "sounds"


def beep(path: Path, seconds: float = 1.0, hertz: float = 440, rate: int = RATE) -> Path:
    sf.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), rate)
    return path


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="fname", dtype={"fname": str}, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("tta", [8, 1, 0])
def test_the_test_clips_get_the_probabilities_that_test_py_gives_them(tag, script, trained, template, tta):
    flags = ["--model_path", BEST.format(0), "--no-use_cuda", "--tta", tta, "--prediction_dir", f"tta{tta}"]
    assert script(trained, "test.py", *flags).code == 0
    expected = load_predictions(trained / f"tta{tta}" / Path(PREDICTED.format(0)).name)
    clips = [template / "test" / fname for fname in expected.fnames]
    table = tag(clips, BEST.format(0), tta=tta)
    assert list(table.index) == [str(clip) for clip in clips]
    assert list(table.columns) == expected.class_names
    np.testing.assert_allclose(table.to_numpy(), expected.probabilities, rtol=0, atol=1e-6)
    assert table.to_numpy().std(axis=0).max() > 1e-3


def test_batches_across_files_change_nothing(tag, template):
    one, many = (tag(template / "test", batch_size=size) for size in (1, 32))
    np.testing.assert_allclose(one.to_numpy(), many.to_numpy(), rtol=0, atol=1e-6)


def test_several_checkpoints_give_the_mean_of_their_probabilities(tag, trained, template):
    folds = [load_predictions(trained / PREDICTED.format(fold)) for fold in (0, 1)]
    assert not np.allclose(folds[0].probabilities, folds[1].probabilities, atol=1e-4)
    table = tag(template / "test", [BEST.format(0), BEST.format(1)])
    mean = (folds[0].probabilities + folds[1].probabilities) / 2
    np.testing.assert_allclose(table.to_numpy(), mean, rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(tag(template / "test"), table)  # the run in checkpoints/


def test_classes_in_another_order_are_aligned_by_name(tag, trained, template, tmp_path):
    state = load_checkpoint(trained / BEST.format(1))
    order = [2, 0, 3, 1]
    state["class_names"] = [state["class_names"][i] for i in order]
    for name in ("weight", "bias"):
        state["model"][f"classifier.3.{name}"] = state["model"][f"classifier.3.{name}"][order]
    torch.save(state, tmp_path / "shuffled.pth")
    expected = tag(template / "test", [BEST.format(0), BEST.format(1)])
    table = tag(template / "test", [BEST.format(0), tmp_path / "shuffled.pth"])
    pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("sampling_rate", 8000), ("img_rows", 40), ("img_cols", 50)])
def test_checkpoints_that_hear_differently_are_refused(run, trained, template, tmp_path, name, value):
    state = load_checkpoint(trained / BEST.format(1))
    state["args"][name] = value
    torch.save(state, tmp_path / "other.pth")
    refused = run(template / "test", "--model_path", BEST.format(0), tmp_path / "other.pth")
    assert refused.code == 1
    assert f"{name} {value}" in refused.error


def test_checkpoints_of_other_classes_are_refused(run, trained, template, tmp_path):
    state = load_checkpoint(trained / BEST.format(1))
    state["class_names"][0] = "Yap"
    torch.save(state, tmp_path / "other.pth")
    refused = run(template / "test", "--model_path", BEST.format(0), tmp_path / "other.pth")
    assert refused.code == 1
    assert "Yap" in refused.error or "Bark" in refused.error


def test_without_model_path_exactly_one_run_must_be_there(script, trained, template, tmp_path):
    refused = script(tmp_path, "tag.py", template / "test")
    assert refused.code == 2
    assert "--model_path" in refused.error
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    state = load_checkpoint(trained / BEST.format(1))
    state["args"]["num_folds"] = 5
    torch.save(state, tmp_path / "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_1-5_model.pth")
    refused = script(tmp_path, "tag.py", template / "test")
    assert refused.code == 2
    assert "2 runs" in refused.error


def test_top_labels_are_printed_best_first(run, tag, template):
    done = run(template / "test", "--top", 2)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == 6
    for line, (fname, scores) in zip(lines, tag(template / "test").iterrows(), strict=True):
        first, second = scores.sort_values(ascending=False).index[:2]
        assert line == f"{fname}: {first} {scores[first]:.3f}, {second} {scores[second]:.3f}"


def test_folders_are_searched_at_any_depth_and_files_named_twice_tagged_once(tag, folder):
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "folder.wav").mkdir()
    paths = [beep(folder / name) for name in ("z.wav", "b/c/x.FLAC", "b/y.ogg")]
    (folder / "b" / "notes.txt").write_text("no sound")
    table = tag([folder, folder / "z.wav"])
    assert list(table.index) == [str(paths[i]) for i in (1, 2, 0)]


def test_a_folder_without_sounds_says_so(run, folder):
    refused = run(folder)
    assert refused.code == 1
    assert "no sound files" in refused.error


def test_silence_is_called_silence(run, folder):
    sf.write(folder / "silent.wav", np.zeros(RATE), RATE)
    sf.write(folder / "dither.wav", np.random.default_rng(0).integers(-1, 2, 3 * RATE) / 32768, RATE)
    beep(folder / "tone.wav")
    done = run(folder, "--csv", folder / "tags.csv", "--json", folder / "tags.json")
    lines = dict(line.rsplit(": ", 1) for line in done.out.splitlines())
    assert [lines[str(folder / f"{name}.wav")] == "silence" for name in ("silent", "dither", "tone")] == [1, 1, 0]
    table = read_table(folder / "tags.csv")
    assert table.isna().all(axis=1).tolist() == [True, True, False]
    records = json.loads((folder / "tags.json").read_text())
    assert [record["silence"] for record in records] == [True, True, False]
    assert records[0]["scores"] is None


def test_broken_files_are_named_with_the_reason_and_the_rest_goes_on(run, folder):
    (folder / "a empty.wav").write_bytes(b"")
    (folder / "b text.wav").write_text("no sound at all")
    good = beep(folder / "c.wav")
    done = run(folder, folder / "gone.wav", "x" * 300, "--csv", folder / "tags.csv")
    assert done.code == 1
    said = done.err.splitlines()
    assert len(said) == 4
    assert "name too long" in said[3]
    for line, (name, reason) in zip(
        said, [("a empty", "0 bytes"), ("b text", "not readable"), ("gone", "no such file")], strict=False
    ):
        assert line.startswith(f"tag.py: {folder / name}.wav: ")
        assert reason in line
    assert list(read_table(folder / "tags.csv").index) == [str(good)]


def test_from_python_a_broken_file_is_warned_of_and_has_no_row(tag, folder):
    good = beep(folder / "c.wav")
    with pytest.warns(UserWarning, match="no such file"):
        table = tag([good, folder / "gone.wav"])
    assert list(table.index) == [str(good)]


ODD = ["a b.wav", "it's.wav", 'say "hi", you.wav', "-dash.wav", "größe 犬.wav", "new\nline.wav", "$x^$.wav", "NA.wav"]


def test_odd_file_names_come_back_from_csv_and_json(run, folder):
    paths = [str(beep(folder / name, 0.3)) for name in ODD]
    done = run(*paths, "--csv", folder / "t.csv", "--json", folder / "t.json", "--timeline", folder / "times")
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == len(ODD)
    table = read_table(folder / "t.csv")
    records = json.loads((folder / "t.json").read_text(encoding="utf-8"))
    assert list(table.index) == [record["fname"] for record in records] == paths
    scores = pd.DataFrame([record["scores"] for record in records], index=table.index)
    np.testing.assert_allclose(table.to_numpy(), scores[table.columns].to_numpy(), rtol=1e-6)
    assert len(list((folder / "times").glob("*.png"))) == len(list((folder / "times").glob("*.csv"))) == len(ODD)


def test_a_leading_dash_needs_two_dashes_before(script, trained, folder):
    beep(folder / "-dash.wav")
    done = script(folder, "tag.py", "--no-use_cuda", "--model_path", trained / BEST.format(0), "--", "-dash.wav")
    assert done.out.startswith("-dash.wav: ")


def test_a_name_that_is_not_utf8_is_refused_and_the_rest_goes_on(run, folder):
    good = beep(folder / "good.wav")
    shutil.copy(good, os.fsencode(folder) + b"/b\xffd.wav")
    done = run(folder)
    assert done.code == 1
    assert "not UTF-8" in done.error
    assert done.out.startswith(str(good))


@pytest.fixture(scope="module")
def recording(tmp_path_factory, sound) -> Path:
    """65.3 s at another rate: 20 s of rain, 10 s of nothing, then a hum."""
    rng, rate = np.random.default_rng(0), 22050
    parts = [sound(rng, "Rain", 20, rate), np.zeros(10 * rate), sound(rng, "Hum", 35.3, rate)]
    path = tmp_path_factory.mktemp("recording") / "long.wav"
    sf.write(path, np.concatenate(parts), rate)
    return path


def test_a_timeline_has_a_row_per_second_and_is_empty_where_it_is_silent(run, recording, folder):
    done = run(recording, "--timeline", folder / "times", "--csv", folder / "tags.csv")
    assert done.code == 0, done.err
    table = pd.read_csv(folder / "times" / "long.wav.csv", index_col="second")
    assert list(table.index) == list(range(66))
    silent = set(np.flatnonzero(table.isna().all(axis=1)))
    assert set(range(21, 29)) <= silent <= set(range(20, 30))  # resampling rings a little
    assert table.drop(silent).notna().all(axis=None)
    assert table.min(axis=None) > 0
    assert table.max(axis=None) < 1
    np.testing.assert_allclose(table.mean(), read_table(folder / "tags.csv").iloc[0], rtol=1e-5)
    assert (folder / "times" / "long.wav.png").read_bytes().startswith(b"\x89PNG")
    assert " at 0:" in done.out


def test_the_middle_of_a_long_recording_scores_as_its_own_crops_do(tag, recording, folder, run):
    """A steady sound has about the same probabilities whether it is cut out or heard in passing."""
    samples, rate = sf.read(recording)
    sf.write(folder / "cut.wav", samples[40 * rate : 50 * rate], rate)
    assert run(recording, "--timeline", folder / "t.png").code == 0
    passing = pd.read_csv(folder / "t.csv", index_col="second").loc[42:48].mean()
    np.testing.assert_allclose(tag(folder / "cut.wav").iloc[0], passing, atol=0.05)


@pytest.mark.parametrize("seconds", [0.05, 0.7, 1.0, 2.4])
def test_short_files_have_timelines_of_their_own_length_too(run, folder, seconds):
    beep(folder / "x.wav", seconds)
    assert run(folder / "x.wav", "--timeline", folder / "t.png").code == 0
    assert len(pd.read_csv(folder / "t.csv")) == np.ceil(seconds)


def test_files_of_one_name_in_two_folders_get_two_timelines(run, folder):
    for name in "ab":
        (folder / name).mkdir()
        beep(folder / name / "x.wav")
    assert run(folder, "--timeline", folder / "times").code == 0
    assert sorted(path.name for path in (folder / "times").glob("*.png")) == ["x.wav (2).png", "x.wav.png"]


@pytest.mark.parametrize(
    "flags",
    [["--csv", "x.wav"], ["--json", "t", "--csv", "t"], ["--timeline", "t.png", "--csv", "t.csv"]],
    ids=["over a sound", "two of one name", "a table over another"],
)
def test_an_output_over_an_input_or_another_output_is_misuse(script, folder, flags):
    beep(folder / "x.wav")
    refused = script(folder, "tag.py", "x.wav", *flags)
    assert refused.code == 2
    assert "overwritten" in refused.error
    assert sf.info(folder / "x.wav").duration == 1


@pytest.mark.parametrize(("output", "code"), [("", 2), (".", 2), ("x.wav/tags.csv", 1)])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(script, folder, output, code):
    beep(folder / "x.wav")
    refused = script(folder, "tag.py", "x.wav", "--csv", output)
    assert refused.code == code
    assert "folder" in refused.error


def test_export_hands_over_the_one_checkpoint(run, module_of, trained, monkeypatch, tmp_path):
    handed = []
    monkeypatch.setattr(module_of("tag.py"), "export_onnx", lambda *args: handed.append(args))
    done = run("--export", tmp_path / "x.onnx", "--model_path", BEST.format(1))
    assert (done.code, done.err) == (0, "")
    (output, path, state), *others = handed
    assert (output, path, others) == (tmp_path / "x.onnx", Path(BEST.format(1)), [])
    assert state["class_names"] == load_checkpoint(trained / BEST.format(1))["class_names"]
    assert "probabilities of 4 classes" in done.out


def test_one_picture_for_many_files_is_misuse(run, template):
    refused = run(template / "test", "--timeline", "t.png")
    assert refused.code == 2
    assert "6 files" in refused.error


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([], "name sound files"),
        (["x.wav", "--model_path", BEST.format(0), BEST.format(0)], "twice"),
        (["x.wav", "--export", "x.onnx"], "--export"),
        (["--export", "x.onnx"], "one checkpoint"),
        (["--export", BEST.format(0), "--model_path", BEST.format(0)], "overwritten"),
        (["x.wav", "--top", "0"], "--top"),
    ],
)
def test_misuse_is_one_line(run, flags, word):
    refused = run(*flags)
    assert refused.code == 2
    assert word in refused.error


def test_a_checkpoint_that_is_none_is_refused(run, template, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"\x80\x05cos\nsystem\n.")
    refused = run(template / "test", "--model_path", tmp_path / "x.pth")
    assert refused.code == 1
    assert "x.pth" in refused.error


def test_the_function_is_imported_under_the_name_of_the_script(process, request, trained, template):
    code = f"from tag import tag; print(len(tag({str(template / 'test')!r}, use_cuda=False)))"
    done = process(trained, sys.executable, "-c", code, PYTHONPATH=str(request.config.rootpath))
    assert done.out == f"{len(read_corpus(template).subset('test').fnames)}\n", done.err
