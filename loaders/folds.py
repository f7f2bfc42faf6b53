"""Which fold holds out which clip."""

import numpy as np

MOST_MOVES, DETOURS = 500, 0.1  # steps of the search for folds that hold every class; share of random ones


def assign_folds(truth: np.ndarray, num_folds: int, seed: int, fold_split: str = "stratified") -> np.ndarray:
    """The fold (N,) in 0..num_folds-1 that holds each clip out; truth is (N, C) bool.

    stratified: the classes spread evenly over the folds (Sechidis et al. 2011), and every class with at least
    num_folds clips has one in every fold, wherever that can be had together for all classes.
    random: the original solution's plain shuffle.
    """
    if len(truth) < num_folds:
        raise ValueError(f"{len(truth)} clips cannot be spread over {num_folds} folds")
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # which only training needs, and has installed
    from sklearn.model_selection import KFold

    splitters = {"stratified": MultilabelStratifiedKFold, "random": KFold}
    splitter = splitters[fold_split](num_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(truth), int)
    for fold, (_, held_out) in enumerate(splitter.split(truth, truth.astype(int))):
        folds[held_out] = fold
    return _cover(folds, truth, num_folds, seed) if fold_split == "stratified" else folds


def uncovered(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> list[tuple[int, int]]:
    """(fold, class) pairs without a held-out clip though the class has num_folds clips or more."""
    counts = _counts(folds, truth, num_folds)
    return [(int(f), int(c)) for f, c in np.argwhere((counts == 0) & (truth.sum(axis=0) >= num_folds))]


def _counts(folds: np.ndarray, truth: np.ndarray, num_folds: int) -> np.ndarray:
    """Clips per fold and class: (num_folds, C)."""
    counts = np.zeros((num_folds, truth.shape[1]), int)
    np.add.at(counts, folds, truth.astype(int))
    return counts


def _cover(folds: np.ndarray, truth: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Move clips to the folds that lack their class, one a step, until no fold lacks any; else the best seen.

    Each step takes one gap and the clip whose move opens the fewest others; now and then it takes any clip, which
    leads out of dead ends (Selman et al. 1994, WalkSAT).
    """
    rng = np.random.default_rng([seed, num_folds])
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
