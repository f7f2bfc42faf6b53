"""Which fold holds out which clip."""

import sys
import warnings

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Subset
from utils.errors import MisuseError, UserError

SPLITS = ("given", "stratified", "random")


def settle_folds(curated: Subset, fold_split: str | None, num_folds: int | None) -> tuple[str, int]:
    """How folds are made, and how many: what was asked for, else what the data set gives, else 5 stratified ones.

    Raises MisuseError where the data set gives no folds, or another number of them.
    """
    fold_split = fold_split or ("stratified" if curated.folds is None else "given")
    if fold_split != "given":
        num_folds = 5 if num_folds is None else num_folds
        if num_folds < 2:
            raise MisuseError(f"--num_folds {num_folds}: there must be 2 or more, one of which is held out")
        return fold_split, num_folds
    if curated.folds is None:
        raise MisuseError("--fold_split given: this data set gives no folds; leave the flag out")
    given = int(curated.folds.max()) + 1
    if num_folds not in (None, given):
        remedy = "leave the flag out, or take --fold_split stratified"
        raise MisuseError(f"--num_folds {num_folds}: the data set gives {given}; {remedy}")
    return fold_split, given


def deal_folds(curated: Subset, trusted: np.ndarray, num_folds: int, seed: int, fold_split: str) -> np.ndarray:
    """The fold (N,) that holds each clip out; -1 where none does.  Given folds that tear groups are told on stderr.

    trusted: (N,) bool, clips that a fold may hold out.  Raises UserError where there are more folds than such clips.
    """
    folds, known = np.full(len(trusted), -1), curated.select(trusted)
    if fold_split == "given":
        folds[trusted] = known.folds
        if leaks := torn(known.folds, known.groups):
            problem = f"{leaks[0]} ({len(leaks)} recordings in all)"
            print(f"the given folds separate clips of one recording, {problem}", file=sys.stderr)
    else:
        folds[trusted] = assign_folds(known.truth, num_folds, seed, fold_split, known.groups)
    return folds


def join_copies(groups: np.ndarray | None, fnames: list[str], digests: np.ndarray) -> np.ndarray | None:
    """Groups (N,) str that keep clips of one digest together, too, each named by its first clip.

    groups: (N,) str, "" for a clip of its own, or None; they are returned as they are where no clip is a copy.
    """
    alike = np.unique(digests, return_inverse=True)[1]
    if alike.max(initial=-1) + 1 == len(fnames):
        return groups
    from scipy.sparse import coo_array  # not needed without copies
    from scipy.sparse.csgraph import connected_components

    members = _members(groups, len(fnames))
    links = coo_array((np.ones(len(fnames)), (members, members.max() + 1 + alike)), shape=(2 * len(fnames),) * 2)
    joined = connected_components(links, directed=False)[1][members]
    first = dict(zip(joined[::-1].tolist(), fnames[::-1], strict=True))
    return np.array([first[group] for group in joined.tolist()])


def assign_folds(
    truth: np.ndarray, num_folds: int, seed: int, fold_split: str = "stratified", groups: np.ndarray | None = None
) -> np.ndarray:
    """The fold (N,) in 0..num_folds-1 that holds each clip out; truth is (N, C) bool.

    stratified: the classes spread evenly over the folds (Sechidis et al. 2011; a clip of a group counts for the rarest
    of its labels).
    random: the original solution's plain shuffle.
    groups (N,) str: clips of one group share a fold, in either; "" is a group of its own.
    Raises UserError where there are fewer clips or groups than folds.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # slow to import, as the one below

    members = _members(groups, len(truth))
    n_groups = members.max() + 1
    if n_groups < num_folds:
        raise UserError(f"--num_folds {num_folds}: there are only {n_groups} curated clips, or groups of them")
    rarest = np.where(truth, truth.sum(axis=0), np.inf).argmin(axis=1)  # of each clip's labels
    kind, labels = GroupKFold, rarest
    if fold_split == "stratified" and n_groups == len(truth):
        from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # missing where random folds do

        kind, labels = MultilabelStratifiedKFold, truth.astype(int)
    elif fold_split == "stratified" and np.bincount(rarest).max() >= num_folds:  # with fewer, it refuses
        kind = StratifiedGroupKFold
    folds = np.empty(n_groups, int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes; Pool.lacking names what a fold lacks
        splits = kind(num_folds, shuffle=True, random_state=seed).split(truth, labels, members)
        for fold, (_, held_out) in enumerate(splits):
            folds[members[held_out]] = fold
    for fold in np.flatnonzero(np.bincount(folds, minlength=num_folds) == 0):  # take one from the largest
        folds[np.flatnonzero(folds == np.bincount(folds).argmax())[0]] = fold
    return folds[members]


def torn(folds: np.ndarray, groups: np.ndarray | None) -> list[str]:
    """Groups whose clips are spread over several folds."""
    if groups is None:
        return []
    spread = pd.Series(folds).groupby(groups).nunique()
    return [group for group, n in spread.items() if group and n > 1]


def _members(groups: np.ndarray | None, n: int) -> np.ndarray:
    """The number of each clip's group (N,), from 0; in the order of the clips where every clip is its own."""
    names = [] if groups is None else [group or f"\0{i}" for i, group in enumerate(groups)]
    if len(set(names)) in (0, n):
        return np.arange(n)
    return np.unique(names, return_inverse=True)[1]
