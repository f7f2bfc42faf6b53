"""From features to the merged table on a tiny data set in each published layout, and its report."""

import json
from pathlib import Path

import pandas as pd
import pytest

from loaders.layouts import read_corpus
from tests.published import PUBLISHED, publish

SIZE = ["--img_rows", "32", "--img_cols", "64"]
STEM = "mobilenet_v3_small_tiny_best_32x64_16000_0-{}_model.pth"
FOLDS = {"fsd50k": 1, "esc50": 2, "urbansound8k": 3, "own_csv": 2}  # that the data give


def fold_0(script, place: Path, *flags: object):
    """Features, a step of training, predictions of what there is; the outputs of train.py."""
    made = script(place, "loaders/freesound_loader.py", "--dataset", "tiny", "--sampling_rate", 16000, "--img_rows", 32,
                  "--jobs", 1)  # fmt: skip
    assert made.code == 0, made.err
    assert "0 cannot be used" in made.out
    flags = ["--arch", "mobilenet_v3_small", "--sampling_rate", 16000, "--n_iter", 1, "--batch_size", 4, *flags]
    trained = script(place, "train.py", "--dataset", "tiny", *SIZE, "--eval_freq", 0, "--device", "cpu", *flags)
    assert trained.code == 0, trained.err
    return trained


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "folders"])
def test_from_features_to_the_merged_table(script, tmp_path, sound, name):
    publish(tmp_path / "data", name, sound)
    (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
    corpus, folds = read_corpus(tmp_path / "data"), FOLDS.get(name, 2)
    trained = fold_0(script, tmp_path, *([] if name in FOLDS else ["--num_folds", 2]))
    for metric in set(corpus.metrics) - {"d-prime"}:
        assert f"  {metric} " in trained.out
    for split in ("val", "test") if "test" in corpus.subsets else ("val",):
        model = tmp_path / "checkpoints" / STEM.format(folds)
        done = script(tmp_path, "test.py", "--model_path", model, "--split", split, "--tta", 1, "--no-use_cuda")
        assert done.code == 0, done.err
        done = script(tmp_path, "merge.py", "--dataset", "tiny", *SIZE, "--split", split, "--allow_missing")
        assert done.code == 0, done.err
        table = pd.read_csv(tmp_path / {"val": "oof.csv", "test": "submission.csv"}[split], dtype={"fname": str})
        if split == "val":
            assert set(table.fname) <= set(corpus.subset("train_curated").fnames)
            assert all(f"CV {metric} " in done.out for metric in corpus.metrics if metric != "d-prime")
        else:
            assert table.fname.tolist() == corpus.subset("test").fnames
            assert ("merged: lwlrap" in done.out) == (corpus.subset("test").truth is not None)
        if split == "test" and corpus.labels_in_submission:
            assert list(table.columns) == ["fname", "label"]
            assert all(sorted(labels.split(" ")) == corpus.class_names for labels in table.label)
        else:
            assert list(table.columns) == ["fname", *corpus.class_names]
    page = script(
        tmp_path, "report.py", "--dataset", "tiny", *SIZE, "--allow_missing", "--clips", 0, "--noisy_clips", 0
    )
    assert page.code == 0, page.err
    html = (tmp_path / "report.html").read_text()
    assert ("Confusion matrix" in html) == corpus.single_label
    assert all(f"CV {metric}" in html for metric in corpus.metrics if metric != "d-prime")


@pytest.fixture
def refuse(script, tmp_path):
    """Refusals of train.py on a data set without features, which it does not come to ask for."""

    def run(name: str, *flags: object) -> str:
        publish(tmp_path / "data", name)
        (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
        refused = script(tmp_path, "train.py", "--dataset", "tiny", *flags)
        assert refused.code == 2, refused.err
        return refused.error

    return run


def test_another_number_of_folds_than_the_data_give_is_misuse(refuse):
    assert "--num_folds 5: the data set gives 3" in refuse("urbansound8k", "--num_folds", 5)


def test_given_folds_of_data_that_give_none_are_misuse(refuse):
    assert "--fold_split given: this data set gives no folds" in refuse("fsdnoisy18k", "--fold_split", "given")


def test_a_fold_that_the_data_do_not_give_is_misuse(refuse):
    assert "--fold_num 3" in refuse("urbansound8k", "--fold_num", 3)


def test_a_published_validation_split_is_one_fold(refuse):
    assert "--fold_num 1: folds of --num_folds 1 are 0 to 0" in refuse("fsd50k", "--fold_num", 1)
