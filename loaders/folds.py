"""Which fold holds out which clip."""

import sys
import warnings
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from loaders.layouts.corpus import Subset
from utils.errors import MisuseError, UserError
from utils.streams import fold_generator

SPLITS = ("given", "stratified", "random")
MOST_MOVES, DETOURS = 500, 0.1  # steps of the search for folds that hold every class; share of random ones


def settle_folds(curated: Subset, fold_split: str | None, num_folds: int | None) -> tuple[str, int]:
    """How folds are made, and how many: what was asked for, else what the data set gives, else 5 stratified ones.

    Raises MisuseError where the data set gives no folds, or another number of them.
    """
    if fold_split is None:
        fold_split = "stratified" if curated.folds is None else "given"
    if fold_split != "given":
        num_folds = 5 if num_folds is None else num_folds
        if num_folds < 2:
            raise MisuseError(f"--num_folds {num_folds}: there must be 2 or more, one of which is held out")
        return fold_split, num_folds
    if curated.folds is None:
        raise MisuseError("--fold_split given: this data set gives no folds; leave the flag out")
    given = int(curated.folds.max()) + 1
    if num_folds not in (None, given):
        raise MisuseError(
            f"--num_folds {num_folds}: the data set gives {given}; leave the flag out, or take --fold_split stratified"
        )
    return fold_split, given


def deal_folds(
    curated: Subset, trusted: np.ndarray, class_names: list[str], num_folds: int, seed: int, fold_split: str
) -> np.ndarray:
    """The fold (N,) that holds each clip out; -1 where none does.  What is odd about the folds is told on stderr.

    trusted: (N,) bool, clips that a fold may hold out.  Raises UserError where there are more folds than such clips.
    """
    folds = np.full(len(curated.fnames), -1)
    folds[trusted] = _deal(curated.select(trusted), class_names, num_folds, seed, fold_split)
    return folds


def _deal(curated: Subset, class_names: list[str], num_folds: int, seed: int, fold_split: str) -> np.ndarray:
    if fold_split == "given":
        if leaks := torn(curated.folds, curated.groups):
            print(
                f"the given folds separate clips of one recording, {leaks[0]} ({len(leaks)} recordings in all)",
                file=sys.stderr,
            )
        return curated.folds
    try:
        folds = assign_folds(curated.truth, num_folds, seed, fold_split, curated.groups)
    except ValueError:
        alone = curated.groups is None or len(curated.fnames) < num_folds
        n, what = (len(curated.fnames), "") if alone else (len(set(curated.groups)), "groups of ")
        raise UserError(f"--num_folds {num_folds}: there are only {n} {what}curated clips") from None
    if fold_split == "stratified":
        for fold, label in uncovered(folds, curated.truth, num_folds):
            print(f"fold {fold} holds out no clip of {class_names[label]}", file=sys.stderr)
    return folds


def assign_folds(
    truth: np.ndarray, num_folds: int, seed: int, fold_split: str = "stratified", groups: np.ndarray | None = None
) -> np.ndarray:
    """The fold (N,) in 0..num_folds-1 that holds each clip out; truth is (N, C) bool.

    stratified: the classes spread evenly over the folds (Sechidis et al. 2011), and every class with at least
    num_folds clips has one in every fold, wherever that can be had together for all classes.
    random: the original solution's plain shuffle.
    groups (N,) str: clips of one group share a fold, in either; "" is a group of its own.
    Raises ValueError where there are fewer clips or groups than folds.
    """
    members = _members(groups, len(truth))
    if len(np.unique(members)) < num_folds:
        what = "clips" if len(np.unique(members)) == len(truth) else "groups of clips"
        raise ValueError(f"{len(np.unique(members))} {what} cannot be spread over {num_folds} folds")
    if fold_split == "random":
        return _shuffle(members, num_folds, seed)
    if len(np.unique(members)) == len(truth):
        return _cover(_deal_clips(truth, num_folds, seed), truth, num_folds, seed)
    counts = np.zeros((members.max() + 1, truth.shape[1]), int)  # clips of each label in each group: (G, C)
    np.add.at(counts, members, truth.astype(int))
    deal = _deal_single if (truth.sum(axis=1) == 1).all() else _deal_groups
    return _cover(deal(counts, members, truth, num_folds, seed), counts > 0, num_folds, seed)[members]


def uncovered(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> list[tuple[int, int]]:
    """(fold, class) pairs without a held-out clip though the class has num_folds clips or more."""
    counts = _counts(folds, truth, num_folds)
    return [(int(f), int(c)) for f, c in np.argwhere((counts == 0) & (truth.sum(axis=0) >= num_folds))]


def torn(folds: np.ndarray, groups: np.ndarray | None) -> list[str]:
    """Groups whose clips are spread over several folds."""
    named = np.zeros(0, bool) if groups is None else groups != ""
    pairs = sorted(set(zip(groups[named].tolist(), folds[named].tolist(), strict=True))) if named.any() else []
    return sorted({one for (one, _), (other, _) in pairwise(pairs) if one == other})


def _members(groups: np.ndarray | None, n: int) -> np.ndarray:
    """The number of each clip's group (N,), from 0; in the order of the clips where every clip is its own."""
    if groups is None:
        return np.arange(n)
    names = [group or f"\0{i}" for i, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1]


def _shuffle(members: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import GroupKFold, KFold

    if len(np.unique(members)) == len(members):
        splits = KFold(num_folds, shuffle=True, random_state=seed).split(members)
    else:
        splits = GroupKFold(num_folds, shuffle=True, random_state=seed).split(members, groups=members)
    return _held_out(splits, len(members))


def _deal_clips(truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # which only training needs, and has installed

    splitter = MultilabelStratifiedKFold(num_folds, shuffle=True, random_state=seed)
    return _held_out(splitter.split(truth, truth.astype(int)), len(truth))


def _held_out(splits: Iterable[tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    folds = np.empty(n, int)
    for fold, (_, held_out) in enumerate(splits):
        folds[held_out] = fold
    return folds


def _deal_single(counts: np.ndarray, members: np.ndarray, truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """The fold of each group (G,), where every clip has one label."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels = truth.argmax(axis=1)
    if np.bincount(labels).max() < num_folds:  # which scikit-learn refuses
        return _deal_groups(counts, members, truth, num_folds, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes; what a fold lacks is told by its name
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        folds = _held_out(splitter.split(labels, labels, members), len(labels))
    of_group = np.empty(len(counts), int)
    of_group[members] = folds
    return _fill_empty(of_group, num_folds)


def _deal_groups(counts: np.ndarray, members: np.ndarray, truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """The fold of each group (G,), where clips have several labels, which scikit-learn's rule cannot take.

    Sechidis et al.'s rule with a group in the place of a clip: the label with the fewest clips left is dealt next;
    its groups, those with most of its clips first, each go to the fold that lacks most of the label, of equal ones
    to the one that lacks most clips.  The rare labels come first since they leave least choice, the large groups
    since what they upset the small ones can make good.
    """
    rng = fold_generator(seed, num_folds, 1)
    sizes = np.bincount(members)
    wants = np.tile(counts.sum(axis=0) / num_folds, (num_folds, 1))  # clips of each label that a fold still lacks
    room = np.full(num_folds, len(members) / num_folds)
    folds = np.full(len(counts), -1)
    while (waiting := np.flatnonzero(folds < 0)).size:
        left = counts[waiting].sum(axis=0)
        label = int(np.where(left > 0, left, np.inf).argmin())
        mine = waiting[counts[waiting, label] > 0] if left.any() else waiting
        for group in sorted(rng.permutation(mine), key=lambda g: (-counts[g, label], -sizes[g])):
            fold = max(rng.permutation(num_folds), key=lambda f: (wants[f, label], room[f]))
            folds[group] = fold
            wants[fold] -= counts[group]
            room[fold] -= sizes[group]
    return _fill_empty(folds, num_folds)


def _fill_empty(folds: np.ndarray, num_folds: int) -> np.ndarray:
    """Move a group from the largest fold to each fold that has none."""
    for fold in np.flatnonzero(np.bincount(folds, minlength=num_folds) == 0):
        folds[np.flatnonzero(folds == np.bincount(folds).argmax())[0]] = fold
    return folds


def _counts(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> np.ndarray:
    """Clips per fold and class: (num_folds, C)."""
    counts = np.zeros((num_folds, truth.shape[1]), int)
    np.add.at(counts, folds, truth.astype(int))
    return counts


def _cover(folds: np.ndarray, truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Move clips, one per step, to folds that lack their class, until no fold lacks any; else the best folds seen.

    Each step takes one gap and the clip whose move opens the fewest others; now and then it takes any clip, which
    leads out of dead ends (Selman et al. 1994, WalkSAT).
    """
    rng = fold_generator(seed, num_folds)
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
