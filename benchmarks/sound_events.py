"""F1 of sound events, micro-averaged over files and labels (Mesaros et al. 2016, "Metrics for polyphonic SED")."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

Times = list[tuple[float, float, int]]  # onset and offset in seconds, and the label, of each event of a file
COLLAR = 0.2  # seconds


def f_measure(hits: int, claims: int, there: int) -> float:
    """F1 of counts; NaN where there is nothing to find and nothing was claimed."""
    return 2 * hits / (claims + there) if claims + there else np.nan


def segment_f1(true: list[Times], found: list[Times]) -> float:
    """Of segments of a second.  A label is active in each segment that one of its events touches."""
    hits = claims = there = 0
    for truth, claimed in zip(true, found, strict=True):
        one, other = _segments(truth), _segments(claimed)
        hits, claims, there = hits + len(one & other), claims + len(other), there + len(one)
    return f_measure(hits, claims, there)


def _segments(times: Times) -> set[tuple[int, int]]:
    return {(second, label) for on, off, label in times for second in range(int(np.floor(on)), int(np.ceil(off)))}


def event_f1(true: list[Times], found: list[Times], collar: float = COLLAR) -> float:
    """Of events: one of the same label whose onset is within the collar is right, each for one true event."""
    hits = 0
    for truth, claimed in zip(true, found, strict=True):
        if truth and claimed:
            one, other = np.array(truth), np.array(claimed)
            near = np.abs(one[:, None, 0] - other[None, :, 0]) <= collar
            match = maximum_bipartite_matching(csr_array(near & (one[:, None, 2] == other[None, :, 2])), "column")
            hits += int((match >= 0).sum())
    return f_measure(hits, sum(map(len, found)), sum(map(len, true)))
