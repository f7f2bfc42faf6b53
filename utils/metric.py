"""lwlrap, the score of the competition."""

import numpy as np
from scipy.stats import rankdata

from loaders.layouts import Subset


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


def score_parts(subset: Subset, scores: np.ndarray) -> dict[str, float]:
    """lwlrap of a test set, overall and, where the usage of the clips is known, public and private.

    scores: (N, C) in the order of subset.fnames and its labels' columns.  Empty without answers.
    """
    if subset.truth is None:
        return {}
    parts = {"overall": np.ones(len(subset.fnames), bool)}
    if subset.usage is not None:
        parts |= {"public": subset.usage == "Public", "private": subset.usage == "Private"}
    return {name: lwlrap(subset.truth[rows], scores[rows]) for name, rows in parts.items() if subset.truth[rows].any()}


def score_line(parts: dict[str, float]) -> str:
    """One line: "public 0.7123  private 0.7200  overall 0.7181"."""
    return "  ".join(f"{name} {parts[name]:.4f}" for name in ("public", "private", "overall") if name in parts)
