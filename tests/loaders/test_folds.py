"""Which fold holds out which clip."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.folds import _cover, assign_folds, uncovered
from utils.errors import UserError


@st.composite
def corpora(draw, extra=(0.0, 0.05, 0.4), most=50):
    """(truth, number of folds): a label for each clip, and others with one of the probabilities in `extra`."""
    num_folds, seed = draw(st.integers(2, 5)), draw(st.integers(0, 2**32 - 1))
    clips, classes = draw(st.integers(num_folds, most)), draw(st.integers(2, 10))
    rng = np.random.default_rng(seed)
    truth = rng.random((clips, classes)) < draw(st.sampled_from(extra))
    truth[np.arange(clips), rng.integers(0, classes, clips)] = True
    return truth, num_folds


@given(corpora(), st.integers(0, 2**32 - 1), st.sampled_from(["stratified", "random"]))
def test_folds_partition_the_clips_and_depend_on_the_seed_alone(corpus, seed, fold_split):
    truth, num_folds = corpus
    folds = assign_folds(truth, num_folds, seed, fold_split)
    assert folds.shape == (len(truth),)
    assert set(folds) == set(range(num_folds)), "a fold is empty"
    np.testing.assert_array_equal(assign_folds(truth.copy(), num_folds, seed, fold_split), folds)


@pytest.mark.parametrize("fold_split", ["stratified", "random"])
def test_another_seed_gives_other_folds(fold_split):
    truth = np.eye(4, dtype=bool)[np.arange(60) % 4]
    assert (assign_folds(truth, 5, 1, fold_split) != assign_folds(truth, 5, 2, fold_split)).any()


@settings(max_examples=100)
@given(corpora(extra=[0.0, 0.02]), st.integers(0, 2**32 - 1))
def test_every_class_with_enough_clips_is_in_every_fold(corpus, seed):
    truth, num_folds = corpus
    assert uncovered(assign_folds(truth, num_folds, seed), truth, num_folds) == []


@settings(max_examples=100)
@given(corpora(extra=[0.05, 0.4], most=7), st.integers(0, 1000))
def test_every_class_is_in_every_fold_wherever_that_can_be_had(corpus, seed):
    truth, num_folds = corpus[0], min(corpus[1], 3)
    possible = any(
        not uncovered(np.array(folds), truth, num_folds) for folds in product(range(num_folds), repeat=len(truth))
    )
    assert possible == (uncovered(assign_folds(truth, num_folds, seed), truth, num_folds) == [])


@given(st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_gaps_are_closed_wherever_the_clips_lay_before(folds):
    truth = np.eye(3, dtype=bool)[np.arange(12) % 3]
    assert uncovered(_cover(np.array(folds), truth, 3, 0), truth, 3) == []


@given(corpora(extra=[0.0]), st.integers(0, 1000), st.sampled_from(["stratified", "random"]))
def test_folds_are_of_about_the_same_size(corpus, seed, fold_split):
    truth, num_folds = corpus
    sizes = np.bincount(assign_folds(truth, num_folds, seed, fold_split), minlength=num_folds)
    assert sizes.max() - sizes.min() <= (truth.shape[1] if fold_split == "stratified" else 1)


def test_uncovered_lists_folds_and_classes_that_lack_one_another():
    truth = np.array([[1, 0], [1, 0], [1, 1]], bool)
    assert uncovered(np.array([0, 0, 1]), truth, 2) == []  # the second class has too few clips
    assert uncovered(np.array([0, 0, 0]), truth, 2) == [(1, 0)]


@pytest.mark.parametrize(
    ("groups", "problem"), [(None, "4 curated clips"), (np.array(["a", "a", "b", "b"]), "2 groups of curated clips")]
)
def test_fewer_clips_or_recordings_than_folds_are_refused(groups, problem):
    with pytest.raises(UserError, match=f"--num_folds 5: there are only {problem}$"):
        assign_folds(np.eye(4, dtype=bool), 5, 0, "stratified", groups)
