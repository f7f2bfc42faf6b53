"""What a table of probabilities gets wrong.  Arrays in, arrays out; all probabilities are within [0, 1]."""

import numpy as np


def outranked(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How often a wrong label (column) stands at or above a true one (row) in the ranking of a clip: (C, C) int.

    truth (N, C) bool, scores (N, C).  A clip counts once for each of its true labels.  Equal scores count, as they
    cost lwlrap.
    """
    counts = np.zeros((truth.shape[1], truth.shape[1]), int)
    for label in range(truth.shape[1]):
        rows = truth[:, label]
        above = scores[rows] >= scores[rows, label, None]
        counts[label] = (above & ~truth[rows]).sum(axis=0)
    return counts


def confusions(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Confusion matrix (C, C) int of clips with one label: the true class (row) and the one with the highest score.

    truth (N, C) bool, scores (N, C); of equal scores the first class counts.
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(truth.argmax(axis=1), scores.argmax(axis=1), labels=np.arange(truth.shape[1]))


def worst_pairs(counts: np.ndarray, clips: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Pairs (true label, wrong label) that occur, by share of the label's clips, then by number, largest first.

    counts (C, C) of `outranked`; clips (C,) that have each label.
    """
    share = counts / np.maximum(clips, 1)[:, None]
    order = np.lexsort((-counts.ravel(), -share.ravel()))[:most]
    pairs = [divmod(int(i), len(clips)) for i in order]
    return [(true, wrong) for true, wrong in pairs if counts[true, wrong]]


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> tuple[np.ndarray, ...]:
    """Per bin of equal width: mean probability, share of true labels (both NaN where empty), and how many: (bins,).

    All (clip, class) pairs of truth (N, C) and probabilities (N, C) are pooled.
    """
    p, hit = probabilities.ravel().astype(np.float64), truth.ravel()
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(place, values, minlength=bins) / count for values in (p, hit))
    return mean, share, count


def calibration_error(mean: np.ndarray, share: np.ndarray, count: np.ndarray) -> float:
    """Expected calibration error of the bins of `reliability`: their mean distance, weighted by how many."""
    full = count > 0
    return float((np.abs(mean - share)[full] * count[full]).sum() / count.sum())


def least_belief(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The smallest probability among each clip's given labels (N,); infinite for a clip without labels."""
    return np.where(truth, probabilities, np.inf).min(axis=1)
