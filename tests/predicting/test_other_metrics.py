"""Accuracy, mAP, d-prime and mAP@3, by hand and against scikit-learn's parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from predicting.metrics import METRICS, lwlrap
from predicting.scores import further

ONE = np.eye(4, dtype=bool)[[0, 1, 2, 3]]
RANKED = np.array([[4, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1]]) / 4


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
    assert further(truth, scores, ["mAP", "d-prime"]) == {}
    assert list(further(ONE, RANKED, ["accuracy", "mAP@3"])) == ["accuracy", "mAP@3"]
