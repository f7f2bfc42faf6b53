"""lwlrap, the score of the competition, and the metrics that are reported beside it."""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm, rankdata


def lwlrap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Label-weighted label-ranking average precision, in [0, 1].

    For every (clip, true label) pair, the precision of the ranking down to that label, averaged over all pairs
    (Fonseca et al., "Audio tagging with noisy labels and minimal supervision", DCASE 2019, eq. 1).  Equals
    scikit-learn's `label_ranking_average_precision_score` with each clip weighted by its number of labels.

    truth: (N, C), nonzero where the label is true.  scores: (N, C), finite; of equal scores none is ranked first.
    Raises ValueError on mismatched shapes, non-finite scores, and when no clip has a label.
    """
    precisions, truth = _precisions(truth, scores)
    return float(precisions.sum() / truth.sum())


def per_class_lwlrap(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each class's own lwlrap (C,), NaN for a class without clips, and its prior (C,), which sums to 1.

    The prior-weighted mean of the classes that occur is `lwlrap`.
    """
    precisions, truth = _precisions(truth, scores)
    counts = truth.sum(axis=0)
    means = np.divide(precisions.sum(axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return means, counts / counts.sum()


def clip_lwlrap(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each clip's own lwlrap (N,), NaN for a clip without labels."""
    precisions, truth = _precisions(truth, scores)
    counts = truth.sum(axis=1)
    return np.divide(precisions.sum(axis=1), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of the clips whose one label has the highest score, in [0, 1]; of equal scores the first class counts."""
    from sklearn.metrics import accuracy_score  # slow to import, and not every script comes here

    return float(accuracy_score(truth.argmax(axis=1), scores.argmax(axis=1)))


def mean_average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """mAP, in [0, 1]: average precision over the clips of each class, mean over the classes that occur."""
    from sklearn.metrics import average_precision_score

    classes = _told_apart(truth)
    return float(average_precision_score(truth[:, classes], scores[:, classes])) if classes.any() else np.nan


def d_prime(truth: np.ndarray, scores: np.ndarray) -> float:
    """How far apart two normal distributions of variance 1 lie whose area under the ROC curve is the classes' mean.

    As reported with AudioSet (Hershey et al., ICASSP 2017): sqrt(2) times the normal quantile of the mean area.
    0 is chance; infinite where each class is told apart without a mistake.
    """
    from sklearn.metrics import roc_auc_score

    classes = _told_apart(truth)
    if not classes.any():
        return np.nan
    area = roc_auc_score(truth[:, classes], scores[:, classes])
    return float(np.sqrt(2) * norm.ppf(area))


def map_at_3(truth: np.ndarray, scores: np.ndarray) -> float:
    """mAP@3 of DCASE 2018 Task 2, in [0, 1]: 1, 1/2 or 1/3 by the place of a clip's one label, 0 from the fourth on.

    Of equal scores the first class comes first, as in the submission.
    """
    first = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    hit = first == truth.argmax(axis=1)[:, None]
    return float((hit / np.arange(1, hit.shape[1] + 1)).sum(axis=1).mean())


Metric = Callable[[np.ndarray, np.ndarray], float]  # of labels (N, C) bool and scores (N, C); NaN where undefined
METRICS: dict[str, Metric] = {
    "lwlrap": lwlrap,
    "accuracy": accuracy,
    "mAP": mean_average_precision,
    "d-prime": d_prime,
    "mAP@3": map_at_3,
}


def _told_apart(truth: np.ndarray) -> np.ndarray:
    """Classes (C,) that some clips have and some have not; others have no ranking that could be right or wrong."""
    return truth.any(axis=0) & ~truth.all(axis=0)


def _precisions(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(truth) > 0, np.asarray(scores, dtype=np.float64)
    if truth.shape != scores.shape or truth.ndim != 2:
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} must be two tables of the same shape")
    if not np.isfinite(scores).all():
        raise ValueError(f"the scores of row {int(np.argmin(np.isfinite(scores).all(axis=1)))} are not finite")
    if not truth.any():
        raise ValueError("no clip has a label, so there is nothing to score")
    ranks = rankdata(-scores, method="max", axis=1)
    hits = rankdata(np.where(truth, -scores, np.inf), method="max", axis=1)
    return np.where(truth, hits / ranks, 0.0), truth
