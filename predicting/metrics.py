"""lwlrap, the score of the competition, the metrics that are reported beside it, and the line that says them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm, rankdata

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
    return _label_means(precisions, truth, axis=0), truth.sum(axis=0) / truth.sum()


def clip_lwlrap(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Each clip's own lwlrap (N,), NaN for a clip without labels."""
    return _label_means(*_precisions(truth, scores), axis=1)


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of the clips whose one label has the highest score, in [0, 1]; of equal scores the first class counts."""
    return float((truth.argmax(axis=1) == scores.argmax(axis=1)).mean())


def mean_average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """mAP, in [0, 1]: average precision over the clips of each class, mean over the classes that occur."""
    from sklearn.metrics import average_precision_score  # slow to import, and not every script comes here

    return _over_classes(average_precision_score, truth, scores)


def d_prime(truth: np.ndarray, scores: np.ndarray) -> float:
    """The distance of two normal distributions of variance 1 whose area under the ROC curve is the classes' mean.

    As reported with AudioSet (Hershey et al., ICASSP 2017): sqrt(2) times the normal quantile of the mean area.
    0 is chance; infinite where each class is told apart without a mistake.
    """
    from sklearn.metrics import roc_auc_score

    return float(np.sqrt(2) * norm.ppf(_over_classes(roc_auc_score, truth, scores)))


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


def metric_values(truth: np.ndarray, scores: np.ndarray, metrics: Iterable[str]) -> dict[str, float]:
    """Of the metrics of these names, the values of those that are defined for labels (N, C) bool and scores (N, C)."""
    values = {name: METRICS[name](truth, scores) for name in metrics}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def mean_values(rows: Collection[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name's values over the rows that have one; none of values that are infinite both ways."""
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(list(rows)).mean().dropna().to_dict()


def score_parts(subset: Subset, scores: np.ndarray, metric: str = "lwlrap") -> dict[str, float]:
    """A test set's score: public and private, where the usage of the clips is known, and overall.

    scores: (N, C) in the order of subset.fnames and its labels' columns.  metric: a key of METRICS.  Empty without
    answers; parts for which the metric is not defined are left out.
    """
    if subset.truth is None:
        return {}
    parts = {} if subset.usage is None else {name.lower(): subset.usage == name for name in ("Public", "Private")}
    parts["overall"] = np.ones(len(subset.fnames), bool)
    parts = {name: rows for name, rows in parts.items() if subset.truth[rows].any()}
    values = {name: metric_values(subset.truth[rows], scores[rows], [metric]) for name, rows in parts.items()}
    return {name: value[metric] for name, value in values.items() if value}


def describe_test(subset: Subset, scores: np.ndarray, metrics: Iterable[str]) -> str:
    """One line, lwlrap first: "lwlrap public 0.9280  private 0.9320  overall 0.9310 | accuracy overall 0.8800"."""
    by_metric = {metric: score_parts(subset, scores, metric) for metric in ("lwlrap", *metrics)}
    lines = {metric: "  ".join(f"{name} {p:.4f}" for name, p in parts.items()) for metric, parts in by_metric.items()}
    return " | ".join(f"{metric} {line}" for metric, line in lines.items() if line)


def _over_classes(metric: Metric, truth: np.ndarray, scores: np.ndarray) -> float:
    """A metric's mean over the classes that some clips have and some have not; NaN where there is no such class."""
    classes = truth.any(axis=0) & ~truth.all(axis=0)
    return float(metric(truth[:, classes], scores[:, classes])) if classes.any() else np.nan


def _label_means(precisions: np.ndarray, truth: np.ndarray, axis: int) -> np.ndarray:
    counts = truth.sum(axis=axis)
    return np.divide(precisions.sum(axis=axis), counts, out=np.full(len(counts), np.nan), where=counts > 0)


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


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Of scores in [0, 1], float64, finite."""
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def calibrated(scores: np.ndarray, slope: float, offsets: Sequence[float]) -> np.ndarray:
    """Scores (N, C) -> probabilities: sigmoid(slope * logit(score) + offset of the class), see predicting.presence."""
    return expit(slope * log_odds(scores) + np.array(offsets)).astype(np.float32)
