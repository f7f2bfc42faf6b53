"""Which fold holds out which clip."""

import sys
import warnings

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Subset
from utils.errors import MisuseError, UserError
from utils.streams import generator

SPLITS = ("given", "stratified", "random")
MOST_MOVES, DETOURS = 500, 0.1  # steps of the search for folds that hold every class; share of random ones


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
    of its labels), and every class with at least num_folds clips has one in every fold, wherever that is possible for
    all classes together.
    random: the original solution's plain shuffle.
    groups (N,) str: clips of one group share a fold, in either; "" is a group of its own.
    Raises UserError where there are fewer clips or groups than folds.
    """
    members = _members(groups, len(truth))
    sizes = np.bincount(members)  # clips of each group: (G,)
    if len(sizes) < num_folds:
        what = "curated clips" if len(sizes) == len(truth) else "groups of curated clips"
        raise UserError(f"--num_folds {num_folds}: there are only {len(sizes)} {what}")
    folds = _split(truth, members, num_folds, seed, fold_split)
    if fold_split == "random":
        return folds[members]
    for fold in np.flatnonzero(np.bincount(folds, minlength=num_folds) == 0):  # take one from the largest
        folds[np.flatnonzero(folds == np.bincount(folds).argmax())[0]] = fold
    return _cover(folds, _counts(members, truth, len(sizes)) > 0, num_folds, seed)[members]


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


def _split(truth: np.ndarray, members: np.ndarray, num_folds: int, seed: int, fold_split: str) -> np.ndarray:
    """The fold of each group (G,), by scikit-learn's splitter for it."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # slow to import, as the one below

    clips = truth.sum(axis=0)
    rarest = np.where(truth, clips, np.inf).argmin(axis=1)  # of each clip's labels
    kind, labels = GroupKFold, rarest
    if fold_split == "stratified" and members.max() + 1 == len(truth):
        from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # missing where random folds do

        kind, labels = MultilabelStratifiedKFold, truth.astype(int)
    elif fold_split == "stratified" and np.bincount(rarest).max() >= num_folds:  # with fewer, it refuses
        kind = StratifiedGroupKFold
    folds = np.empty(members.max() + 1, int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes; Pool.lacking names what a fold lacks
        splits = kind(num_folds, shuffle=True, random_state=seed).split(truth, labels, members)
        for fold, (_, held_out) in enumerate(splits):
            folds[members[held_out]] = fold
    return folds


def _counts(members: np.ndarray, truth: np.ndarray, n: int) -> np.ndarray:
    """Clips of each class in each of n groups or folds: (n, C)."""
    counts = np.zeros((n, truth.shape[1]), int)
    np.add.at(counts, members, truth.astype(int))
    return counts


def _cover(folds: np.ndarray, truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Move clips, one per step, to folds that lack their class, until no fold lacks any; else the best folds seen.

    Each step takes one gap and the clip whose move opens the fewest others; now and then it takes any clip, which
    leads out of dead ends (Selman et al. 1994, WalkSAT).
    """
    rng = generator(seed, num_folds)
    wanted = truth.sum(axis=0) >= num_folds
    folds, best, fewest = folds.copy(), folds, truth.size
    for _ in range(MOST_MOVES):
        counts, sizes = _counts(folds, truth, num_folds), np.bincount(folds, minlength=num_folds)
        gaps = np.argwhere((counts == 0) & wanted)
        if len(gaps) < fewest:
            best, fewest = folds.copy(), len(gaps)
        if not len(gaps):
            break
        fold, label = rng.choice(gaps)
        clips = np.flatnonzero(truth[:, label] & (sizes[folds] > 1))  # no fold may run empty
        if not len(clips):
            continue
        opened = (truth[clips] & wanted & (counts[folds[clips]] == 1)).sum(axis=1)
        closed = (truth[clips] & wanted & (counts[fold] == 0)).sum(axis=1)
        costs = opened - closed - sizes[folds[clips]] / len(folds)  # of equal ones, from the largest fold
        folds[rng.choice(clips) if rng.random() < DETOURS else clips[costs.argmin()]] = fold
    return best
