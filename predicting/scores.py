"""What predictions score where the answers are known, and how it is told."""

from collections.abc import Iterable

import numpy as np

from loaders.layouts import Subset
from predicting.metrics import METRICS


def score_parts(subset: Subset, scores: np.ndarray, metric: str = "lwlrap") -> dict[str, float]:
    """A test set's score, overall and, where the usage of the clips is known, public and private.

    scores: (N, C) in the order of subset.fnames and its labels' columns.  metric: a key of METRICS.  Empty without
    answers; parts for which the metric is not defined are left out.
    """
    if subset.truth is None:
        return {}
    parts = {"overall": np.ones(len(subset.fnames), bool)}
    if subset.usage is not None:
        parts |= {"public": subset.usage == "Public", "private": subset.usage == "Private"}
    parts = {name: rows for name, rows in parts.items() if subset.truth[rows].any()}
    values = {name: METRICS[metric](subset.truth[rows], scores[rows]) for name, rows in parts.items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def describe(parts: dict[str, float]) -> str:
    """One line: "public 0.7123  private 0.7200  overall 0.7181"."""
    return "  ".join(f"{name} {parts[name]:.4f}" for name in ("public", "private", "overall") if name in parts)


def describe_test(subset: Subset, scores: np.ndarray, metrics: Iterable[str]) -> str:
    """One line: lwlrap first, then the other metrics: "lwlrap overall 0.9310 | accuracy overall 0.8800"."""
    told = {name: score_parts(subset, scores, name) for name in ("lwlrap", *metrics)}
    return " | ".join(f"{name} {describe(parts)}" for name, parts in told.items() if parts)


def further(truth: np.ndarray, scores: np.ndarray, metrics: Iterable[str]) -> dict[str, float]:
    """The metrics of that name that are defined for these labels (N, C) bool and scores (N, C)."""
    values = {name: METRICS[name](truth, scores) for name in metrics}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def describe_further(truth: np.ndarray, scores: np.ndarray, metrics: Iterable[str]) -> str:
    """What follows an lwlrap on its line: "  accuracy 0.8800"."""
    return "".join(f"  {name} {value:.4f}" for name, value in further(truth, scores, metrics).items())
