"""Public and private scores."""

from pathlib import Path

import numpy as np

from loaders.layouts import Subset
from predicting.scores import describe, describe_test, score_parts

TRUTH = np.array([[1, 0], [1, 0], [0, 1]], bool)
SCORES = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
NAMES = ["a", "b", "c"]


def test_without_answers_there_is_no_score():
    assert score_parts(Subset(Path(), NAMES), SCORES) == {}


def test_without_usage_there_is_one_score():
    assert score_parts(Subset(Path(), NAMES, TRUTH), SCORES) == {"overall": 2.5 / 3}


def test_public_and_private_clips_are_scored_apart():
    parts = score_parts(Subset(Path(), NAMES, TRUTH, np.array(["Public", "Private", "Private"])), SCORES)
    assert parts == {"overall": 2.5 / 3, "public": 1.0, "private": 0.75}
    assert describe(parts) == "public 1.0000  private 0.7500  overall 0.8333"


def test_a_part_without_clips_is_left_out():
    parts = score_parts(Subset(Path(), NAMES, TRUTH, np.array(["Private"] * 3)), SCORES)
    assert describe(parts) == "private 0.8333  overall 0.8333"


def test_every_metric_is_told_part_by_part():
    subset = Subset(Path(), NAMES, TRUTH, np.array(["Public", "Private", "Private"]))
    assert describe_test(subset, SCORES, ["accuracy"]) == (
        "lwlrap public 1.0000  private 0.7500  overall 0.8333 | accuracy public 1.0000  private 0.5000  overall 0.6667"
    )
    assert describe_test(Subset(Path(), NAMES), SCORES, ["accuracy"]) == ""


def test_a_metric_that_a_part_does_not_define_is_left_out_there():
    subset = Subset(Path(), NAMES, TRUTH, np.array(["Public", "Private", "Private"]))
    assert "mAP private" in describe_test(subset, SCORES, ["mAP"])
