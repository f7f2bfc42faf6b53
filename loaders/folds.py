"""Which fold holds out which clip."""

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import KFold


def assign_folds(truth: np.ndarray, num_folds: int, seed: int, fold_split: str = "stratified") -> np.ndarray:
    """The fold (N,) in 0..num_folds-1 that holds each clip out; truth is (N, C) bool.

    stratified: the classes spread evenly over the folds (Sechidis et al. 2011), and every class with at least
    num_folds clips has one in every fold, wherever that can be had together for all classes.
    random: the original solution's plain shuffle.
    """
    if len(truth) < num_folds:
        raise ValueError(f"{len(truth)} clips cannot be spread over {num_folds} folds")
    splitters = {"stratified": MultilabelStratifiedKFold, "random": KFold}
    splitter = splitters[fold_split](num_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(truth), int)
    for fold, (_, held_out) in enumerate(splitter.split(truth, truth.astype(int))):
        folds[held_out] = fold
    return _cover(folds, truth, num_folds) if fold_split == "stratified" else folds


def uncovered(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> list[tuple[int, int]]:
    """(fold, class) pairs without a held-out clip though the class has num_folds clips or more."""
    counts = _counts(folds, truth, num_folds)
    return [(int(f), int(c)) for f, c in np.argwhere((counts == 0) & (truth.sum(axis=0) >= num_folds))]


def _counts(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> np.ndarray:
    """Clips per fold and class: (num_folds, C)."""
    counts = np.zeros((num_folds, truth.shape[1]), int)
    np.add.at(counts, folds, truth.astype(int))
    return counts


def _cover(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> np.ndarray:
    """Move clips to the folds that lack their class, as long as each move leaves fewer gaps than it found."""
    folds, gaps = folds.copy(), uncovered(folds, truth, num_folds)
    while gaps:
        moves = [(clip, fold) for fold, label in gaps for clip in np.flatnonzero(truth[:, label])]
        results = [(len(uncovered(_moved(folds, *move), truth, num_folds)), move) for move in moves]
        fewest, best = min(results)
        if fewest >= len(gaps):
            break
        folds = _moved(folds, *best)
        gaps = uncovered(folds, truth, num_folds)
    return folds


def _moved(folds: np.ndarray, clip: int, fold: int) -> np.ndarray:
    folds = folds.copy()
    folds[clip] = fold
    return folds
