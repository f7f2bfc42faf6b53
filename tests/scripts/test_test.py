"""test.py: the network comes from the checkpoint, its probabilities go to files that describe themselves."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from loaders.layouts import read_corpus
from predicting.checkpoint import load_checkpoint
from predicting.metrics import lwlrap
from predicting.prediction_file import load_predictions
from tests.scripts.conftest import BEST

CHECKPOINT = BEST.format(0)
PREDICTED = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2.npz"
KNOWN = "--dataset tiny --img_rows 32 --img_cols 64 --seed 1234 --sampling_rate 16000 --no-use_cbam"


@pytest.fixture
def run(script, tagger, tmp_path):
    """Run test.py beside the checkpoints, into a folder of the test's own."""

    def call(*flags: object, path: object = CHECKPOINT, device: str = "--no-use_cuda", place: Path = tagger):
        return script(place, "test.py", "--model_path", path, device, "--prediction_dir", tmp_path / "made", *flags)

    return call


@pytest.fixture
def predict(run, tmp_path):
    """What test.py predicts of the test clips, and what it prints."""

    def call(*flags: object, **how: object):
        done = run(*flags, **how).ok()
        return load_predictions(tmp_path / "made" / PREDICTED.format("test")), done

    return call


@pytest.fixture
def changed(tagger, tmp_path):
    """A copy of the checkpoint with other arguments: changed(loss="ce") -> path."""

    def call(**args: object) -> Path:
        state = load_checkpoint(tagger / CHECKPOINT)
        path = tmp_path / f"{'_'.join(args)}.pth"
        torch.save(state | {"args": state["args"] | args}, path)
        return path

    return call


def test_probabilities_of_the_test_clips_with_all_that_describes_them(predict, tagger, template):
    made, done = predict(*shlex.split(KNOWN), "--batch_size", 32, "--tta", 8)
    assert done.err == ""
    state, test = load_checkpoint(tagger / CHECKPOINT), read_corpus(template).subset("test")
    assert (made.fnames, made.class_names) == (test.fnames, state["class_names"])
    assert ((made.probabilities > 0) & (made.probabilities < 1)).all()
    kept = {name: value for name, value in state["args"].items() if name not in ("split", "precision")}
    assert kept | {"checkpoint_step": state["step"], "tta": 8, "split": "test"} == {
        name: made.args[name] for name in [*kept, "checkpoint_step", "tta", "split"]
    }
    assert made.args["train_split"] == state["args"]["split"]  # merge.py refuses folds that differ in either
    parts = {"public": slice(0, None, 2), "private": slice(1, None, 2), "overall": slice(None)}
    scores = {name: lwlrap(test.truth[rows], made.probabilities[rows]) for name, rows in parts.items()}
    assert "  ".join(f"{name} {score:.4f}" for name, score in scores.items()) in done.out


def test_several_splits_in_one_call_and_all_crops_in_one_pass(run, tagger, template, tmp_path):
    """val: the clips that the fold held out; train_noisy, which is not scored: in the order of its CSV."""
    flags = ["--split", "val", "train_noisy", "--tta", "shared"]
    done = run(*flags).ok()
    held_out = load_checkpoint(tagger / CHECKPOINT)["held_out"]
    for split, fnames in ("val", held_out), ("train_noisy", pd.read_csv(template / "train_noisy.csv").fname.tolist()):
        made = load_predictions(tmp_path / "made" / PREDICTED.format(split))
        assert made.fnames == fnames
        assert (made.args["split"], made.args["tta"]) == (split, "shared")
    val = load_predictions(tmp_path / "made" / PREDICTED.format("val")).probabilities
    truth = read_corpus(template).subset("train_curated").truth_of(held_out)
    assert f"lwlrap of the held-out clips: {lwlrap(truth, val):.4f}" in done.out
    assert done.out.count("lwlrap") == 1
    assert run(*flags, "--if_needed").out.count("is up to date") == 2


def test_crops_and_shifts_change_what_is_predicted_and_the_batch_size_does_not(predict):
    def scores(*flags: object) -> np.ndarray:
        return predict(*flags)[0].probabilities

    whole, one, eight = (scores("--tta", tta) for tta in (0, 1, 8))
    assert not np.array_equal(whole, one)
    assert not np.array_equal(one, eight)
    np.testing.assert_array_equal(scores("--tta", 8), eight)
    np.testing.assert_allclose(scores("--tta", 8, "--batch_size", 3), eight, atol=1e-6)
    np.testing.assert_array_equal(scores("--tta", 1, "--tta_shift", 0.3), one)
    assert np.abs(scores("--tta", 8, "--tta_shift", 0.3) - eight).max() > 1e-6


def test_shifts_are_half_of_those_of_the_training(predict, changed):
    made, _ = predict(path=changed(shift_share=0.3))
    assert made.args["tta_shift"] == 0.15
    np.testing.assert_array_equal(made.probabilities, predict("--tta_shift", 0.15)[0].probabilities)


def test_nothing_is_read_out_of_the_checkpoints_name_and_its_precision_is_kept(predict, tagger, tmp_path):
    path = tmp_path / "resnet18_other_best_9x9_8000_1-7_model.pth"
    torch.save(load_checkpoint(tagger / CHECKPOINT) | {"precision": "fp32"}, path)
    made = predict(path=path)[0].args
    assert (made["arch"], made["precision"]) == ("mobilenet_v3_small", "torch.float32")
    assert predict("--precision", "bf16", path=path)[0].args["precision"] == "torch.bfloat16"


MISUSE = {  # flags that contradict the checkpoint or each other -> what the one line must hold
    "--use_cbam": f"--use_cbam True: {CHECKPOINT} ",
    **{f"--{flag}": f"--{flag}: {CHECKPOINT} " for flag in (
        "img_rows 64", "img_cols 99", "sampling_rate 44100", "seed 5", "dataset demo",
    )},
    "--tta 0 --tta_shift 0.1": "--tta_shift 0.1: --tta 0 takes a clip in one pass",
    "--tta shared --tta_shift 0.1": "--tta_shift 0.1: --tta shared takes a clip in one pass",
    "--tta share": "--tta",
}  # fmt: skip


@pytest.mark.parametrize("flags", MISUSE)
def test_flags_that_contradict_the_checkpoint_or_each_other_are_misuse(run, flags):
    assert MISUSE[flags] in run(*flags.split()).refused(2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_use_cuda_says_so_and_goes_on_and_device_cuda_does_not(run):
    done = run(device="--use_cuda").ok()
    assert done.error == "--use_cuda: there is no usable GPU here; using the CPU"
    assert "--device cuda: there is no usable GPU here" in run("--device", "cuda").refused(2)


def test_classes_in_another_order_are_no_problem(predict, place):
    table = place / "data/sample_submission.csv"
    table.write_text(table.read_text().replace("Bark,Hum,Rain,Whistle", "Whistle,Bark,Rain,Hum"))
    made, done = predict(place=place)
    now = read_corpus(place / "data")
    assert f"overall {lwlrap(now.subset('test').truth, made.aligned(made.fnames, now.class_names)):.4f}" in done.out


def test_a_clip_that_cannot_be_used_gets_the_mean_of_the_training_targets(predict, script, place):
    (place / "data/test/test02.wav").write_bytes(b"")
    flags = shlex.split("--dataset tiny --sampling_rate 16000 --img_rows 32 --split test --jobs 1")
    script(place, "loaders/freesound_loader.py", *flags).ok()
    made, done = predict(place=place)
    assert "test02.wav cannot be used" in done.error
    assert made.fnames[2] == "test02.wav"
    np.testing.assert_array_equal(made.probabilities[2], load_checkpoint(place / CHECKPOINT)["prior"].numpy())
    assert len(np.unique(made.probabilities, axis=0)) == 6


def no_test_clips(corpus: Path) -> None:
    rows = (corpus / "train_curated.csv").read_text()
    for table in corpus.glob("*.csv"):
        table.unlink()
    (corpus / "train.csv").write_text(rows)
    (corpus / "train_curated").rename(corpus / "train")
    shutil.rmtree(corpus / "test")


def another_class(corpus: Path) -> None:
    for table in corpus.glob("*.csv"):
        table.write_text(table.read_text().replace("Bark", "Yap"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (another_class, "another class list than the data set: Bark is in one only"),
        (no_test_clips, "no test clips"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(run, place, spoil, words):
    spoil(place / "data")
    assert words in run(place=place).refused()
