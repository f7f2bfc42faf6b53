"""Events: which label sounds from when to when, from a recording's probabilities per second."""

from typing import NamedTuple

import numpy as np

from tagging.stream import PARTS, SILENT

STAYS = 0.5  # an event goes on through seconds with this share of its label's threshold (hysteresis)
REACH = 10  # parts that an event may begin before, or end after, its seconds: half a second
QUIET = 0.05  # of the loudest part of an event: what is below at its ends does not belong to it, -26 dB


class Event(NamedTuple):
    onset: float  # seconds
    offset: float
    label: int  # which class
    score: float  # the highest of its seconds


def find_events(scores: np.ndarray, levels: np.ndarray, thresholds: np.ndarray) -> list[Event]:
    """The events of a recording in the order of their onsets.

    scores: (S, C) in [0, 1], NaN where a second is silent.  levels: (S, PARTS) of tenths of a second, 0 beyond the
    end of the recording.  thresholds: (C,).  An event begins where a score reaches its class's threshold and goes on to
    both sides through seconds that have STAYS of it.  Its ends are those of what is loud there: no event reaches into
    silence or beyond the recording.
    """
    scores, loud = np.nan_to_num(scores), levels.reshape(-1)
    events = []
    for label, threshold in enumerate(thresholds):
        column = scores[:, label]
        if column.max(initial=0.0) < threshold:
            continue
        edges = np.flatnonzero(np.diff(column >= STAYS * threshold, prepend=False, append=False)).reshape(-1, 2)
        for first, last in edges:
            if (score := float(column[first:last].max())) < threshold:
                continue
            begin, end = max(first * PARTS - REACH, 0), last * PARTS + REACH
            heard = np.flatnonzero(loud[begin:end] >= max(QUIET * loud[begin:end].max(), SILENT))
            if len(heard):
                onset, offset = begin + int(heard[0]), begin + int(heard[-1]) + 1
                events.append(Event(onset / PARTS, offset / PARTS, label, score))
    return sorted(events)
