"""test.py: the network comes from the checkpoint, its probabilities go to files that describe themselves."""

import json
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

CHECKPOINT = "checkpoints/resnet18_tiny_best_32x64_16000_0-2_model.pth"
PREDICTED = "predictions/resnet18_tiny_{}_32x64_16000_0-2.npz"
TEST = shlex.split(
    "--dataset tiny --img_rows 32 --img_cols 64 --seed 1234 --batch_size 32 --sampling_rate 16000 --tta 8"
)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, template, script) -> Path:
    """A folder with config.json and the checkpoints of one fold, ResNet18 with CBAM."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(json.dumps({"tiny": {"data_path": str(template)}}))
    flags = "--dataset tiny --img_rows 32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4 --num_folds 2"
    done = script(folder, "train.py", *flags.split(), "--use_cbam", "--device", "cpu")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(script, trained):
    """Run test.py beside the checkpoint, into a folder of the test's own where it asks for one."""
    return lambda *flags: script(trained, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda", *map(str, flags))


def test_probabilities_of_the_test_clips_with_all_that_tells_what_they_are(run, trained, template):
    done = run(*TEST, "--split", "test", "--use_cbam")
    assert done.code == 0, done.err
    assert done.err == ""
    made, state = load_predictions(trained / PREDICTED.format("test")), load_checkpoint(trained / CHECKPOINT)
    assert made.fnames == read_corpus(template).subset("test").fnames
    assert made.class_names == state["class_names"]
    assert ((made.probabilities > 0) & (made.probabilities < 1)).all()
    kept = {name: value for name, value in state["args"].items() if name not in ("split", "precision")}
    assert kept.items() <= made.args.items()
    assert {"checkpoint_step": state["step"], "tta": 8, "split": "test"}.items() <= made.args.items()
    beside = pd.read_csv(trained / PREDICTED.format("test").replace(".npz", ".csv"), index_col="fname")
    np.testing.assert_allclose(beside.to_numpy(), made.probabilities, rtol=1e-6)


def test_public_and_private_scores_are_printed_where_the_answers_are_known(run, trained, template):
    out = run("--split", "test").out
    truth, made = read_corpus(template).subset("test").truth, load_predictions(trained / PREDICTED.format("test"))
    parts = {"public": slice(0, None, 2), "private": slice(1, None, 2), "overall": slice(None)}
    scores = {name: lwlrap(truth[rows], made.probabilities[rows]) for name, rows in parts.items()}
    assert "  ".join(f"{name} {score:.4f}" for name, score in scores.items()) in out


def test_val_predicts_the_clips_that_the_fold_held_out(run, trained, template):
    done = run("--split", "val")
    made, state = load_predictions(trained / PREDICTED.format("val")), load_checkpoint(trained / CHECKPOINT)
    assert made.fnames == state["held_out"]
    truth = read_corpus(template).subset("train_curated").truth_of(made.fnames)
    assert f"lwlrap of the held-out clips: {lwlrap(truth, made.probabilities):.4f}" in done.out


def test_train_noisy_predicts_the_noisy_clips_in_the_order_of_their_csv(run, trained, template):
    done = run("--split", "train_noisy")
    assert done.code == 0, done.err
    made = load_predictions(trained / PREDICTED.format("train_noisy"))
    assert made.fnames == pd.read_csv(template / "train_noisy.csv").fname.tolist()
    assert made.args["split"] == "train_noisy"
    assert "lwlrap" not in done.out


def predicted(run, trained, *flags) -> np.ndarray:
    done = run(*flags, "--prediction_dir", "elsewhere")
    assert done.code == 0, done.err
    return load_predictions(trained / PREDICTED.format("test").replace("predictions", "elsewhere")).probabilities


def test_the_same_call_gives_the_same_bits_and_the_batch_size_none_that_matter(run, trained):
    first = predicted(run, trained)
    np.testing.assert_array_equal(predicted(run, trained), first)
    np.testing.assert_allclose(predicted(run, trained, "--batch_size", 3), first, atol=1e-6)


def test_tta_changes_the_crops(run, trained):
    tables = [predicted(run, trained, "--tta", tta) for tta in (0, 1, 8)]
    assert not np.array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[1], tables[2])


def test_shifts_are_heard_where_a_clip_has_several_crops(run, trained):
    same = predicted(run, trained, "--tta", 1, "--tta_shift", 0.1)
    np.testing.assert_array_equal(same, predicted(run, trained, "--tta", 1))
    assert np.abs(predicted(run, trained, "--tta_shift", 0.1) - predicted(run, trained)).max() > 1e-6


@pytest.mark.parametrize("tta", [0, "shared"])
def test_one_pass_has_no_crops_to_shift(run, tta):
    refused = run("--tta", tta, "--tta_shift", 0.1)
    assert refused.code == 2
    assert f"--tta_shift 0.1: --tta {tta} hears a clip in one pass" in refused.error


def test_shifts_are_half_of_those_of_the_training(script, trained, tmp_path):
    state = load_checkpoint(trained / CHECKPOINT)
    torch.save(state | {"args": state["args"] | {"shift_share": 0.2}}, tmp_path / "shifted.pth")
    tables = {}
    for path, flags in {tmp_path / "shifted.pth": [], trained / CHECKPOINT: ["--tta_shift", "0.1"]}.items():
        done = script(trained, "test.py", "--model_path", path, "--prediction_dir", tmp_path, *flags)
        assert done.code == 0, done.err
        made = load_predictions(tmp_path / Path(PREDICTED.format("test")).name)
        assert made.args["tta_shift"] == 0.1
        tables[path] = made.probabilities
    np.testing.assert_array_equal(*tables.values())


def test_a_network_that_learned_by_cross_entropy_predicts_a_distribution(script, trained, tmp_path):
    state = load_checkpoint(trained / CHECKPOINT)
    torch.save(state | {"args": state["args"] | {"loss": "ce"}}, tmp_path / "ce.pth")
    done = script(trained, "test.py", "--model_path", tmp_path / "ce.pth", "--prediction_dir", tmp_path)
    assert done.code == 0, done.err
    made = load_predictions(tmp_path / Path(PREDICTED.format("test")).name).probabilities
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(made) > 0


def test_nothing_is_read_out_of_the_checkpoints_name(script, trained, tmp_path):
    shutil.copy(trained / CHECKPOINT, tmp_path / "mobilenet_v3_large_other_best_9x9_8000_1-7_model.pth")
    flags = "--no-use_cuda --prediction_dir", str(tmp_path), "--model_path"
    done = script(trained, "test.py", *flags[0].split(), *flags[1:], next(tmp_path.glob("*.pth")))
    assert done.code == 0, done.err
    assert (tmp_path / Path(PREDICTED.format("test")).name).exists()


@pytest.mark.parametrize(
    "flags",
    [["--no-use_cbam"], ["--img_rows", 64], ["--img_cols", 99], ["--sampling_rate", 44100], ["--seed", 5],
     ["--dataset", "demo"]],
    ids=lambda flags: flags[0],
)  # fmt: skip
def test_a_flag_that_contradicts_the_checkpoint_is_misuse(run, flags):
    refused = run(*flags)
    assert refused.code == 2
    assert " ".join(map(str, flags)) in refused.error
    assert CHECKPOINT in refused.error


@no_gpu
def test_without_a_gpu_use_cuda_says_so_and_goes_on(script, trained):
    done = script(trained, "test.py", "--model_path", CHECKPOINT, "--use_cuda")
    assert done.code == 0
    assert "--use_cuda" in done.error
    assert "CPU" in done.error


@pytest.fixture
def elsewhere(trained, corpus, tmp_path) -> Path:
    """The trained fold beside a copy of the corpus, to be spoiled."""
    folder = shutil.copytree(trained, tmp_path / "elsewhere")
    (folder / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    return folder


def rename_class(corpus: Path) -> None:
    for table in corpus.glob("*.csv"):
        table.write_text(table.read_text().replace("Bark", "Yap"))


def test_a_checkpoint_of_another_class_list_is_refused(script, elsewhere, corpus):
    rename_class(corpus)
    refused = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert refused.code == 1
    assert "another class list" in refused.error
    assert "Bark" in refused.error or "Yap" in refused.error


def test_classes_in_another_order_are_no_problem(script, elsewhere, corpus):
    table = corpus / "sample_submission.csv"
    table.write_text(table.read_text().replace("Bark,Hum,Rain,Whistle", "Whistle,Bark,Rain,Hum"))
    done = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert done.code == 0, done.err
    corpus_now, made = read_corpus(corpus), load_predictions(elsewhere / PREDICTED.format("test"))
    scores = made.aligned(made.fnames, corpus_now.class_names)
    assert f"overall {lwlrap(corpus_now.subset('test').truth, scores):.4f}" in done.out


def test_a_clip_that_cannot_be_heard_gets_the_mean_of_the_training_targets(script, elsewhere, corpus):
    (corpus / "test" / "test02.wav").write_bytes(b"")
    flags = shlex.split("--dataset tiny --sampling_rate 16000 --img_rows 32 --split test --jobs 1")
    assert script(elsewhere, "loaders/freesound_loader.py", *flags).code == 0
    done = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert done.code == 0
    assert "test02.wav cannot be used" in done.error
    made, state = load_predictions(elsewhere / PREDICTED.format("test")), load_checkpoint(elsewhere / CHECKPOINT)
    assert made.fnames[2] == "test02.wav"
    np.testing.assert_array_equal(made.probabilities[2], state["prior"].numpy())
    assert len(np.unique(made.probabilities, axis=0)) == 6


def test_weights_that_do_not_fit_the_arguments_are_refused(script, elsewhere):
    state = torch.load(elsewhere / CHECKPOINT, weights_only=True)
    del state["model"]["bn1.running_mean"]
    torch.save(state, elsewhere / CHECKPOINT)
    refused = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert refused.code == 1
    assert 'Missing key(s) in state_dict: "bn1.running_mean"' in refused.error


def test_an_arch_that_this_version_does_not_know_is_refused(script, elsewhere):
    state = torch.load(elsewhere / CHECKPOINT, weights_only=True)
    state["args"]["arch"] = "vgg"
    torch.save(state, elsewhere / CHECKPOINT)
    refused = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert refused.code == 1
    assert "vgg" in refused.error


def test_folds_trained_on_different_clips_cannot_be_merged(script, elsewhere):
    """Both the training's split and the one predicted must be in the predictions."""
    state = torch.load(elsewhere / CHECKPOINT, weights_only=True)
    state["args"] |= {"fold_num": 1, "split": "train_curated"}
    torch.save(state, elsewhere / "other.pth")
    for path in (CHECKPOINT, "other.pth"):
        assert script(elsewhere, "test.py", "--model_path", path, "--no-use_cuda").code == 0
    refused = script(elsewhere, "merge.py", *shlex.split("--dataset tiny --img_rows 32 --img_cols 64"))
    assert refused.code == 1
    assert "train_curated" in refused.error


def test_a_data_set_without_test_clips_says_so(script, elsewhere, corpus):
    for fname, label in [(f"ated{i:02}.wav", ["Bark", "Hum", "Rain", "Whistle"][i % 4]) for i in range(20)]:
        (corpus / "train" / label).mkdir(parents=True, exist_ok=True)
        shutil.move(corpus / "train_curated" / fname, corpus / "train" / label / fname)
    shutil.rmtree(corpus / "test")
    for table in corpus.glob("*.csv"):
        table.unlink()
    refused = script(elsewhere, "test.py", "--model_path", CHECKPOINT, "--no-use_cuda")
    assert refused.code == 1
    assert "no test clips" in refused.error


def test_several_splits_in_one_call_and_all_crops_in_one_pass(run, trained, tmp_path):
    done = run("--split", "val", "test", "--tta", "shared", "--prediction_dir", tmp_path)
    assert done.code == 0, done.err
    made = {split: load_predictions(tmp_path / Path(PREDICTED.format(split)).name) for split in ("val", "test")}
    assert {split: (one.args["split"], one.args["tta"]) for split, one in made.items()} == {
        "val": ("val", "shared"),
        "test": ("test", "shared"),
    }
    again = run("--split", "val", "test", "--tta", "shared", "--prediction_dir", tmp_path, "--if_needed")
    assert again.out.count("is up to date") == 2
    refused = run("--tta", "share")
    assert refused.code == 2
    assert "--tta" in refused.err
