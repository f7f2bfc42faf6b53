"""lwlrap against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score

from predicting.metrics import clip_lwlrap, lwlrap, mean_values, per_class_lwlrap


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
