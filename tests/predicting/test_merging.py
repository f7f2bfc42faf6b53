"""Scores balanced over the classes: by hand, their range, what stays as it is, and what it is good for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from predicting.merging import balance
from predicting.metrics import lwlrap

TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(0, 1))


@pytest.mark.parametrize(
    ("table", "scores"),
    [
        ([[0.01, 0.5], [0.07, 0.22]], [[0.01 / 0.2, 0.5 / 0.6], [0.07 / 0.2, 0.22 / 0.6]]),  # means 0.04 and 0.36
        ([[0.64, 0.01], [0.0, 0.01]], [[1, 0.1 * 0.32**0.5 / 0.64], [0, 0.1 * 0.32**0.5 / 0.64]]),  # 1.13 becomes 1
    ],
)
def test_by_hand(table, scores):
    np.testing.assert_allclose(balance(np.array(table)), scores)


@given(TABLES)
def test_scores_lie_within_0_and_1_and_keep_the_order_of_the_clips_in_each_class(table):
    scores = balance(table)
    assert ((scores >= 0) & (scores <= 1)).all()
    for before, after in zip(table.T, scores.T, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


def test_it_undoes_half_of_what_makes_a_class_high_in_all_clips():
    rng = np.random.default_rng(0)
    truth = np.eye(10, dtype=bool)[rng.integers(0, 10, 400)]
    clean = 0.05 + 0.4 * truth + rng.uniform(0, 0.3, truth.shape)
    tilted = clean * np.linspace(0.3, 1.3, 10)  # some classes high in every clip
    assert lwlrap(truth, balance(tilted)) > lwlrap(truth, tilted) + 0.05
    assert abs(lwlrap(truth, balance(clean)) - lwlrap(truth, clean)) < 0.02
