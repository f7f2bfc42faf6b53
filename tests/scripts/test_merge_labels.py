"""merge.py on data whose submission names up to three labels, and what it prints of single-label data."""

import json
import re

import pytest

from tests.published import publish
from utils.errors import UserError

FLAGS = ["--dataset", "tiny", "--img_rows", 32, "--img_cols", 64, "--seed", 1234]


@pytest.fixture
def merge(script, predict, tmp_path):
    """Predict each clip of a split in two folds by a function of its name; what merge.py then does."""

    def run(name: str, split: str, scores):
        publish(tmp_path / "data", name)
        (tmp_path / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
        for fold in range(2):
            predict(tmp_path, tmp_path / "data", fold, split, scores)
        return script(tmp_path, "merge.py", *FLAGS, "--split", split)

    return run


def test_kaggles_fsdkaggle2018_gets_three_labels_best_first_in_the_order_of_the_sample(merge, tmp_path):
    rows = {"b0.wav": [0.1, 0.3, 0.2], "b1.wav": [0.5, 0.5, 0.9], "b2.wav": [0.9, 0.8, 0.7]}
    done = merge("fsdkaggle2018_of_kaggle", "test", rows.get)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "submission.csv").read_text().splitlines() == [
        "fname,label",
        "b2.wav,Hum Rain Whistle",
        "b0.wav,Rain Whistle Hum",
        "b1.wav,Whistle Hum Rain",
    ]


def test_map_at_3_and_accuracy_are_printed_public_and_private(merge):
    truth = {f"b{i}.wav": i % 3 for i in range(4)}  # of which Rain is never first, and then second
    done = merge("fsdkaggle2018", "test", lambda f: [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.1, 0.2, 0.9]][truth[f]])
    line = re.search(r"^merged: (.*)$", done.out, re.M)[1]
    assert line.split(" | ")[1:] == [
        "mAP@3 public 1.0000  private 0.7500  overall 0.8750",
        "accuracy public 1.0000  private 0.5000  overall 0.7500",
    ]
    assert re.search(
        r"^mean of 2 folds: lwlrap overall \S+ \| mAP@3 overall 0.8750 \| accuracy overall 0.7500$", done.out, re.M
    )


def test_accuracy_out_of_fold_is_printed_and_the_report_shows_a_confusion_matrix(merge, script, tmp_path):
    done = merge("urbansound8k", "val", lambda fname: [0.9, 0.1])  # every second clip is of the first class
    assert "CV accuracy 0.5000, mean of 2 folds 0.5000" in done.out
    script(tmp_path, "report.py", *FLAGS, "--clips", 0).ok()
    html = (tmp_path / "report.html").read_text()
    taken = [f"{name}: taken for siren in 6 of 6 clips (100%)" for name in ("air_conditioner", "siren")]
    assert all(text in html for text in ("6 of 12 clips are right", "CV accuracy", *taken))


def test_class_names_with_blanks_cannot_stand_in_a_list_of_labels(module_of):
    with pytest.raises(UserError, match="'a b' cannot be in a submission of labels"):
        module_of("merge.py").write_labels(None, [], ["a", "a b"], None, 3)
