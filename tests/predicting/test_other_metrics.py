"""Accuracy, mAP, d-prime and mAP@3, by hand and against scikit-learn's parts; public and private scores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from loaders.layouts import Subset
from predicting.metrics import METRICS, describe_test, lwlrap, metric_values, score_parts

ONE = np.eye(4, dtype=bool)[[0, 1, 2, 3]]
RANKED = np.array([[4, 3, 2, 1]] * 4) / 4


@pytest.mark.parametrize(
    ("metric", "truth", "scores", "value"),
    [
        ("accuracy", ONE, RANKED, 1 / 4),
        ("mAP@3", ONE, RANKED, (1 + 1 / 2 + 1 / 3) / 4),
        ("lwlrap", ONE, RANKED, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        ("mAP@3", ONE, np.zeros((4, 4)), (1 + 1 / 2 + 1 / 3) / 4),  # equal scores in the order of the submission
        ("mAP@3", ONE[:2, :2], np.array([[0.9, 0.1], [0.9, 0.1]]), 0.75),
        ("accuracy", ONE[:3, :3], np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]), 2 / 3),
        ("d-prime", ONE[:2, :2], np.full((2, 2), 0.5), 0),  # chance
        ("d-prime", ONE[:2, :2], np.eye(2), np.inf),
    ],
)
def test_by_hand(metric, truth, scores, value):
    assert METRICS[metric](truth, scores) == pytest.approx(value)


@given(st.integers(0, 2**32 - 1))
def test_map_and_d_prime_are_means_over_the_classes_that_occur(seed):
    rng = np.random.default_rng(seed)
    truth, scores = rng.random((12, 5)) < 0.4, rng.random((12, 5))
    truth[:, 0], truth[:, 1], truth[0, 2:], truth[1, 2:] = False, True, True, False
    precisions = [average_precision_score(truth[:, c], scores[:, c]) for c in range(2, 5)]
    areas = [roc_auc_score(truth[:, c], scores[:, c]) for c in range(2, 5)]
    assert METRICS["mAP"](truth, scores) == pytest.approx(np.mean(precisions))
    assert METRICS["d-prime"](truth, scores) == pytest.approx(np.sqrt(2) * norm.ppf(np.mean(areas)))


def test_what_is_not_defined_is_left_out():
    truth, scores = np.ones((2, 3), bool), np.random.default_rng(0).random((2, 3))
    assert lwlrap(truth, scores) == 1
    assert metric_values(truth, scores, ["mAP", "d-prime"]) == {}
    assert list(metric_values(ONE, RANKED, ["accuracy", "mAP@3"])) == ["accuracy", "mAP@3"]


TRUTH = np.array([[1, 0], [1, 0], [0, 1]], bool)
SCORES = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
NAMES, HALVES = ["a", "b", "c"], np.array(["Public", "Private", "Private"])


@pytest.mark.parametrize(
    ("truth", "usage", "parts"),
    [
        (None, None, {}),
        (TRUTH, None, {"overall": 2.5 / 3}),
        (TRUTH, HALVES, {"overall": 2.5 / 3, "public": 1.0, "private": 0.75}),
        (TRUTH, np.array(["Private"] * 3), {"overall": 2.5 / 3, "private": 2.5 / 3}),
    ],
)
def test_public_and_private_clips_are_scored_apart_as_far_as_they_are_known(truth, usage, parts):
    assert score_parts(Subset(Path(), NAMES, truth, usage), SCORES) == parts


def test_every_metric_is_told_part_by_part():
    subset = Subset(Path(), NAMES, TRUTH, HALVES)
    assert describe_test(subset, SCORES, ["accuracy"]) == (
        "lwlrap public 1.0000  private 0.7500  overall 0.8333 | accuracy public 1.0000  private 0.5000  overall 0.6667"
    )
    assert describe_test(Subset(Path(), NAMES), SCORES, ["accuracy"]) == ""
    assert "mAP private" in describe_test(subset, SCORES, ["mAP"])  # which the one public clip does not define
