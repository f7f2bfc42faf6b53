"""From features to the merged table on a tiny data set in each published layout, and its report."""

import json

import pandas as pd
import pytest

from loaders.layouts import read_corpus
from tests.published import PUBLISHED, publish

SIZE = ["--dataset", "tiny", "--img_rows", "32", "--img_cols", "64"]
FOLDS = {"fsd50k": 1, "esc50": 2, "urbansound8k": 3, "own_csv": 2}  # that the data give


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "folders"])
def test_from_features_to_the_merged_table(script, tmp_path, sound, name):
    """Features, a step of training, predictions of what there is, and the report."""

    def run(name: str, *flags: object) -> str:
        done = script(tmp_path, name, *flags).ok()
        return done.out

    publish(tmp_path / "data", name, sound)
    (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
    corpus = read_corpus(tmp_path / "data")
    metrics = set(corpus.metrics) - {"d-prime"}
    audio = ["--dataset", "tiny", "--sampling_rate", 16000, "--img_rows", 32]
    assert "0 cannot be used" in run("loaders/freesound_loader.py", *audio, "--jobs", 1)
    flags = ["--arch", "mobilenet_v3_small", "--img_cols", 64, "--n_iter", 1, "--batch_size", 4, "--eval_freq", 0]
    out = run("train.py", *audio, *flags, "--device", "cpu", *([] if name in FOLDS else ["--num_folds", 2]))
    assert all(f"  {metric} " in out for metric in metrics)
    (model,) = (tmp_path / "checkpoints").glob("*_best_*")
    assert model.name.endswith(f"_0-{FOLDS.get(name, 2)}_model.pth")
    for split in ("val", "test") if "test" in corpus.subsets else ("val",):
        run("test.py", "--model_path", model, "--split", split, "--tta", 1, "--no-use_cuda")
        out = run("merge.py", *SIZE, "--split", split, "--allow_missing")
        table = pd.read_csv(tmp_path / {"val": "oof.csv", "test": "submission.csv"}[split], dtype={"fname": str})
        if split == "val":
            assert set(table.fname) <= set(corpus.subset("train_curated").fnames)
            assert all(f"CV {metric} " in out for metric in metrics)
        else:
            assert table.fname.tolist() == corpus.subset("test").fnames
            assert ("merged: lwlrap" in out) == (corpus.subset("test").truth is not None)
        if split == "test" and corpus.labels_in_submission:
            assert list(table.columns) == ["fname", "label"]
            assert all(sorted(labels.split(" ")) == corpus.class_names for labels in table.label)
        else:
            assert list(table.columns) == ["fname", *corpus.class_names]
    run("report.py", *SIZE, "--allow_missing", "--clips", 0, "--noisy_clips", 0)
    html = (tmp_path / "report.html").read_text()
    assert ("Confusion matrix" in html) == corpus.single_label
    assert all(f"CV {metric}" in html for metric in metrics)
