"""What predictions score where the answers are known, and how it is printed."""

from collections.abc import Iterable

import numpy as np

from loaders.layouts import Subset
from predicting.metrics import METRICS


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
    values = {name: METRICS[metric](subset.truth[rows], scores[rows]) for name, rows in parts.items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def describe_test(subset: Subset, scores: np.ndarray, metrics: Iterable[str]) -> str:
    """One line, lwlrap first: "lwlrap public 0.9280  private 0.9320  overall 0.9310 | accuracy overall 0.8800"."""
    by_metric = {metric: score_parts(subset, scores, metric) for metric in ("lwlrap", *metrics)}
    lines = {metric: "  ".join(f"{name} {p:.4f}" for name, p in parts.items()) for metric, parts in by_metric.items()}
    return " | ".join(f"{metric} {line}" for metric, line in lines.items() if line)


def further(truth: np.ndarray, scores: np.ndarray, metrics: Iterable[str]) -> dict[str, float]:
    """The metrics of that name that are defined for these labels (N, C) bool and scores (N, C)."""
    values = {name: METRICS[name](truth, scores) for name in metrics}
    return {name: value for name, value in values.items() if not np.isnan(value)}
