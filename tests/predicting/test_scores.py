"""Public and private scores."""

from pathlib import Path

import numpy as np
import pytest

from loaders.layouts import Subset
from predicting.scores import describe_test, score_parts

TRUTH = np.array([[1, 0], [1, 0], [0, 1]], bool)
SCORES = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("truth", "usage", "parts"),
    [
        (None, None, {}),
        (TRUTH, None, {"overall": 2.5 / 3}),
        (TRUTH, ["Public", "Private", "Private"], {"overall": 2.5 / 3, "public": 1.0, "private": 0.75}),
        (TRUTH, ["Private"] * 3, {"overall": 2.5 / 3, "private": 2.5 / 3}),
    ],
)
def test_public_and_private_clips_are_scored_apart_as_far_as_they_are_known(truth, usage, parts):
    usage = None if usage is None else np.array(usage)
    assert score_parts(Subset(Path(), NAMES, truth, usage), SCORES) == parts


def test_every_metric_is_told_part_by_part():
    subset = Subset(Path(), NAMES, TRUTH, np.array(["Public", "Private", "Private"]))
    assert describe_test(subset, SCORES, ["accuracy"]) == (
        "lwlrap public 1.0000  private 0.7500  overall 0.8333 | accuracy public 1.0000  private 0.5000  overall 0.6667"
    )
    assert describe_test(Subset(Path(), NAMES), SCORES, ["accuracy"]) == ""
    assert "mAP private" in describe_test(subset, SCORES, ["mAP"])  # which the one public clip does not define
