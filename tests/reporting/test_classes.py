"""Confusions, calibration and belief by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predicting.metrics import lwlrap
from reporting.classes import calibration_error, outranked, reliability, worst_pairs
from reporting.clips import least_belief


def test_wrong_labels_at_or_above_a_true_one_are_counted_once_per_true_label():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], bool)
    scores = np.array([[0.2, 0.9, 0.2], [0.3, 0.8, 0.5], [0.1, 0.2, 0.7]])
    # clip 0: label 0 is beneath label 1 and equal to label 2; clip 1: label 0 is beneath label 2, and beneath label 1
    # too, but that is true; clip 2: right
    np.testing.assert_array_equal(outranked(truth, scores), [[0, 1, 2], [0, 0, 0], [0, 0, 0]])


@given(st.integers(0, 2**32 - 1))
def test_nothing_is_outranked_exactly_when_lwlrap_is_perfect(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((5, 4)) < 0.4
    truth[0, 0] = True
    scores = truth + rng.normal(0, 0.4, truth.shape)
    assert (outranked(truth, scores).sum() == 0) == (lwlrap(truth, scores) == pytest.approx(1))
    assert np.diag(outranked(truth, scores)).sum() == 0


def test_the_worst_pairs_come_by_share_then_by_number_and_only_those_that_occur():
    counts = np.array([[0, 1, 0], [4, 0, 2], [1, 0, 0]])
    clips = np.array([1, 4, 2])
    assert worst_pairs(counts, clips, 10) == [(1, 0), (0, 1), (1, 2), (2, 0)]
    assert worst_pairs(counts, clips, 2) == [(1, 0), (0, 1)]
    assert worst_pairs(np.zeros((2, 2), int), np.array([0, 3]), 5) == []  # a class without clips


def test_reliability_by_hand():
    truth = np.array([[1, 0], [1, 0], [0, 1]], bool)
    probabilities = np.array([[0.9, 0.1], [1.0, 0.2], [0.6, 0.7]])
    mean, share, count = reliability(truth, probabilities, bins=4)
    np.testing.assert_array_equal(count, [2, 0, 2, 2])
    np.testing.assert_allclose(mean, [0.15, np.nan, 0.65, 0.95])
    np.testing.assert_allclose(share, [0, np.nan, 0.5, 1])
    assert calibration_error(mean, share, count) == pytest.approx((0.15 * 2 + 0.15 * 2 + 0.05 * 2) / 6)


def test_the_belief_in_a_clip_is_that_in_its_least_believed_label():
    truth = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    probabilities = np.array([[0.3, 0.2, 0.1], [0.9, 0.8, 0.1], [0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(least_belief(truth, probabilities), [0.2, 0.8, np.inf])
