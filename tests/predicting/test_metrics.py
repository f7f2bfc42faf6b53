"""lwlrap and the other metrics by hand and against scikit-learn; public and private scores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, roc_auc_score

from loaders.layouts import Subset
from predicting.metrics import (
    METRICS,
    clip_lwlrap,
    describe_test,
    lwlrap,
    mean_values,
    metric_values,
    per_class_lwlrap,
    score_parts,
)


@st.composite
def tables(draw):
    """Truth, some rows without a label, and scores, with ties or without."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    truth = rng.random(shape) < draw(st.sampled_from([0.1, 0.4, 0.9]))
    truth[rng.integers(shape[0]), rng.integers(shape[1])] = True
    scores = rng.random(shape)
    levels = draw(st.sampled_from([1, 2, 4, None]))  # how many different scores there are
    return truth, scores if levels is None else np.floor(scores * levels) / levels


@settings(max_examples=100)
@given(tables())
def test_equals_scikit_learn_weighted_by_the_number_of_labels(table):
    truth, scores = table
    labelled = truth.any(axis=1)
    expected = label_ranking_average_precision_score(
        truth[labelled], scores[labelled], sample_weight=truth[labelled].sum(axis=1)
    )
    assert lwlrap(truth, scores) == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_means_over_classes_and_over_clips_weighted_by_labels_are_the_whole(table):
    truth, scores = table
    means, prior = per_class_lwlrap(truth, scores)
    clips, labels = clip_lwlrap(truth, scores), truth.sum(axis=1)
    np.testing.assert_array_equal(np.isnan(means), prior == 0)
    np.testing.assert_array_equal(np.isnan(clips), labels == 0)
    assert prior.sum() == pytest.approx(1)
    assert np.nansum(means * prior) == pytest.approx(lwlrap(truth, scores))
    assert np.nansum(clips * labels) / labels.sum() == pytest.approx(lwlrap(truth, scores))
    assert lwlrap(truth, 3 * np.exp(scores) - 7) == pytest.approx(lwlrap(truth, scores))  # the ranking alone counts


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([[1, 0, 0]], [[3, 2, 1]], 1),
        ([[0, 0, 1]], [[3, 2, 1]], 1 / 3),
        ([[1, 0, 1]], [[3, 2, 1]], (1 + 2 / 3) / 2),
        ([[1, 0, 0]], [[1, 1, 1]], 1 / 3),  # of equal scores none is ranked first
        ([[1, 0, 0], [0, 1, 1]], [[3, 2, 1], [3, 2, 1]], (1 + 1 / 2 + 2 / 3) / 3),  # pairs weigh alike, not clips
        ([[1, 0], [0, 0]], [[2, 1], [1, 2]], 1),  # a clip without labels is left out
    ],
)
def test_by_hand(truth, scores, expected):
    assert lwlrap(np.array(truth), np.array(scores)) == pytest.approx(expected)


def test_per_class_by_hand():
    means, prior = per_class_lwlrap(np.array([[1, 0, 0], [1, 1, 0]]), np.array([[3, 2, 1], [1, 3, 2]]))
    np.testing.assert_allclose(means, [(1 + 2 / 3) / 2, 1, np.nan])
    np.testing.assert_allclose(prior, [2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), "same shape"),
        (np.ones(3), np.ones(3), "two tables"),
        (np.ones((2, 2)), np.array([[0, 1], [np.nan, 0]]), "row 1 are not finite"),
        (np.ones((2, 2)), np.array([[0, np.inf], [1, 0]]), "row 0 are not finite"),
        (np.zeros((2, 2)), np.ones((2, 2)), "no clip has a label"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "no clip has a label"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, scores, message):
    for metric in (lwlrap, per_class_lwlrap, clip_lwlrap):
        with pytest.raises(ValueError, match=message):
            metric(truth, scores)


@pytest.mark.filterwarnings("error")
def test_a_mean_is_over_what_is_there_and_never_nan():
    assert mean_values([]) == {}
    assert mean_values([{}, {}]) == {}
    rows = [{"a": 1.0, "c": np.inf, "d": np.inf}, {"b": 2.0, "a": 3.0, "c": -np.inf, "d": 1.0}]
    assert mean_values(rows) == {"a": 2.0, "b": 2.0, "d": np.inf}


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
def test_the_other_metrics_by_hand(metric, truth, scores, value):
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
