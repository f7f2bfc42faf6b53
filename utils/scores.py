"""Print what predictions score where the answers are known."""

import numpy as np

from loaders.layouts import Subset
from utils.metric import lwlrap


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


def describe(parts: dict[str, float]) -> str:
    """One line: "public 0.7123  private 0.7200  overall 0.7181"."""
    return "  ".join(f"{name} {parts[name]:.4f}" for name in ("public", "private", "overall") if name in parts)
