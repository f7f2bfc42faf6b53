"""Scores balanced over the classes: by hand, their range, and what stays as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from predicting.merging import balance

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
