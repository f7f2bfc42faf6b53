"""Which fold holds out which clip, clips of one recording together; and folds that the data give."""

from contextlib import nullcontext
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.folds import assign_folds, join_copies, settle_folds, torn
from loaders.layouts import Subset
from utils.errors import MisuseError, UserError


def uncovered(folds, truth, num_folds):
    """(fold, class) pairs without a held-out clip though the class has num_folds clips or more."""
    counts = np.array([truth[folds == fold].sum(axis=0) for fold in range(num_folds)])
    return [tuple(map(int, gap)) for gap in np.argwhere((counts == 0) & (truth.sum(axis=0) >= num_folds))]


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


@settings(max_examples=100)
@given(corpora(extra=[0.0, 0.02]), st.integers(0, 2**32 - 1))
def test_every_class_with_enough_clips_is_in_every_fold_and_folds_are_of_about_the_same_size(corpus, seed):
    truth, num_folds = corpus
    folds = assign_folds(truth, num_folds, seed)
    assert uncovered(folds, truth, num_folds) == []
    assert np.ptp(np.bincount(folds)) <= truth.shape[1] + (truth.sum(axis=1) > 1).sum()
    assert np.ptp(np.bincount(assign_folds(truth, num_folds, seed, "random"))) <= 1


@settings(max_examples=100)
@given(corpora(extra=[0.05, 0.4], most=7), st.integers(0, 1000))
def test_every_class_is_in_every_fold_wherever_that_can_be_had(corpus, seed):
    truth, num_folds = corpus[0], min(corpus[1], 3)
    every = (np.array(folds) for folds in product(range(num_folds), repeat=len(truth)))
    possible = any(not uncovered(folds, truth, num_folds) for folds in every)
    assert possible == (uncovered(assign_folds(truth, num_folds, seed), truth, num_folds) == [])


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


@st.composite
def grouped(draw, single=None):
    """(truth, groups, number of folds): groups of 1 to 6 clips, some without a name; each has labels of its own."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_folds, classes = draw(st.integers(2, 5)), draw(st.integers(2, 6))
    sizes = rng.integers(1, 7, draw(st.integers(2 * num_folds, 30)))
    members = np.repeat(np.arange(len(sizes)), sizes)
    truth = np.eye(classes, dtype=bool)[rng.integers(0, classes, len(sizes))][members]
    if not (draw(st.booleans()) if single is None else single):
        truth |= rng.random(truth.shape) < 0.2
    groups = np.array([f"recording {i}" for i in members])
    groups[rng.random(len(groups)) < 0.1] = ""
    order = rng.permutation(len(groups))
    return truth[order], groups[order], num_folds


@given(grouped(), st.integers(0, 2**32 - 1), st.sampled_from(["stratified", "random"]))
def test_no_recording_is_torn_apart_and_no_fold_is_empty(corpus, seed, fold_split):
    truth, groups, num_folds = corpus
    folds = assign_folds(truth, num_folds, seed, fold_split, groups)
    assert torn(folds, groups) == []
    assert set(folds) == set(range(num_folds))
    np.testing.assert_array_equal(assign_folds(truth, num_folds, seed, fold_split, groups), folds)


@given(grouped(), st.integers(0, 1000))
def test_every_class_of_enough_recordings_is_in_every_fold(corpus, seed):
    truth, groups, num_folds = corpus
    _, members = np.unique([g or f"clip {i}" for i, g in enumerate(groups)], return_inverse=True)
    recordings = np.array([len(set(members[truth[:, label]])) for label in range(truth.shape[1])])
    alone = (truth.sum(axis=1) == 1).all()  # else there need not be such folds
    for _, label in uncovered(assign_folds(truth, num_folds, seed, "stratified", groups), truth, num_folds):
        assert recordings[label] < num_folds or not alone


@pytest.mark.parametrize("several", [False, True])
def test_classes_are_spread_evenly_over_folds_of_recordings(several):
    truth = np.eye(4, dtype=bool)[np.arange(400) // 4 % 4]  # 100 recordings of 4 clips, 25 of each class
    truth[::8, 0] |= several
    groups = np.array([f"{i // 4}" for i in range(400)])
    folds = assign_folds(truth, 5, 0, "stratified", groups)
    shares = np.array([truth[folds == fold].sum(axis=0) / truth.sum(axis=0) for fold in range(5)])
    assert np.abs(shares - 0.2).max() < 0.05
    assert np.abs(np.bincount(folds) - 80).max() <= 8


@pytest.mark.parametrize("fold_split", ["stratified", "random"])
def test_recordings_of_one_clip_change_nothing(fold_split):
    truth = np.eye(3, dtype=bool)[np.arange(30) % 3]
    alone = np.array([f"{i}" for i in range(30)])
    plain = assign_folds(truth, 5, 3, fold_split)
    for groups in (alone, np.array([""] * 30)):
        np.testing.assert_array_equal(assign_folds(truth, 5, 3, fold_split, groups), plain)


@pytest.mark.parametrize("fold_split", ["stratified", "random"])
@pytest.mark.parametrize("groups", [None, np.array([f"{i // 3}" for i in range(120)])], ids=["alone", "groups"])
def test_another_seed_gives_other_folds(fold_split, groups):
    truth = np.eye(4, dtype=bool)[np.arange(120) // 3 % 4]
    for labels in (truth, truth | np.roll(truth, 5, axis=0)):
        one, other = (assign_folds(labels, 4, seed, fold_split, groups) for seed in (1, 2))
        assert (one != other).any()


COPIES = [  # groups, digests, and the groups in which copies are together
    (None, "abc", None),
    (["", "g", "g"], "abc", ["", "g", "g"]),
    (None, "aba", ["0", "1", "0"]),
    (["g", "", "h", "h"], "xyxz", ["0", "1", "0", "0"]),
    (["", "g", "g", "h", "h", ""], "ppqqrs", ["0", "0", "0", "0", "0", "5"]),
]


@pytest.mark.parametrize(("groups", "digests", "joined"), COPIES)
def test_copies_are_a_group_with_all_that_their_groups_hold(groups, digests, joined):
    fnames, groups = [str(i) for i in range(len(digests))], None if groups is None else np.array(groups)
    made = join_copies(groups, fnames, np.array(list(digests)))
    assert (made is groups) == (len(set(digests)) == len(digests))
    assert (None if made is None else made.tolist()) == joined


def test_torn_names_what_lies_in_several_folds():
    folds, groups = np.array([0, 1, 0, 1, 0]), np.array(["a", "a", "", "", "b"])
    assert torn(folds, groups) == ["a"]
    assert torn(folds, None) == []


GIVEN, NONE = (Subset(Path(), ["a", "b", "c"], folds=folds) for folds in (np.array([0, 1, -1]), None))


@pytest.mark.parametrize(
    ("subset", "fold_split", "num_folds", "settled"),
    [
        (GIVEN, None, None, ("given", 2)),
        (GIVEN, None, 2, ("given", 2)),
        (GIVEN, "stratified", None, ("stratified", 5)),
        (GIVEN, "random", 3, ("random", 3)),
        (NONE, None, None, ("stratified", 5)),
        (NONE, None, 7, ("stratified", 7)),
        (GIVEN, None, 5, "--num_folds 5: the data set gives 2"),
        (GIVEN, "given", 1, "--num_folds 1: the data set gives 2"),
        (NONE, "given", None, "gives no folds"),
        (NONE, None, 1, "there must be 2 or more"),
    ],
)
def test_folds_are_settled_by_the_flags_then_by_the_data(subset, fold_split, num_folds, settled):
    with pytest.raises(MisuseError, match=settled) if isinstance(settled, str) else nullcontext():
        assert settle_folds(subset, fold_split, num_folds) == settled
