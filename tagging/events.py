"""Events: which label sounds from when to when, as tables that the field's tools and Audacity read."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tagging.stream import PARTS, SILENT, Timeline
from tagging.tagger import Tagged
from utils.atomic import atomic_write

GOES_ON = 0.5  # an event goes on through rows that reach this share of its label's threshold (hysteresis)
REACH = PARTS // 2  # parts, half a second, that an event may begin before its rows, or end after them
QUIET = 0.05  # of an event's loudest part: what is below that (-26 dB) at its ends does not belong to it
RULE = {"parts": PARTS, "goes_on": GOES_ON, "reach": REACH, "quiet": QUIET, "silent": SILENT}
COLUMNS = ["filename", "onset", "offset", "event_label", "score"]


def find_events(timeline: Timeline, thresholds: np.ndarray) -> pd.DataFrame:
    """The events of a recording by onset: columns onset and offset in seconds, label (its number), score (the highest).

    thresholds: (C,).  An event begins where a score reaches its label's threshold, and goes on to both sides through
    rows that reach GOES_ON of it.  Its ends are then those of what is loud there, to a twentieth of a second, so that
    no event reaches into silence or beyond the recording.
    """
    scores, levels, rows = np.nan_to_num(timeline.scores), timeline.levels.reshape(-1), []
    for label in np.flatnonzero((scores >= thresholds).any(axis=0)):
        column = scores[:, label]
        active = np.diff(column >= GOES_ON * thresholds[label], prepend=False, append=False)
        for first, last in np.flatnonzero(active).reshape(-1, 2):
            start, stop = first * PARTS, last * PARTS
            loud = levels >= max(QUIET * levels[start:stop].max(), SILENT)
            heard = start + np.flatnonzero(loud[start:stop])
            if (score := float(column[first:last].max())) >= thresholds[label] and len(heard):
                onset = heard[0] - (_run(loud[max(start - REACH, 0) : start][::-1]) if heard[0] == start else 0)
                offset = heard[-1] + 1 + (_run(loud[stop : stop + REACH]) if heard[-1] == stop - 1 else 0)
                rows.append((onset / PARTS, min(offset / PARTS, timeline.seconds), int(label), score))
    return pd.DataFrame(sorted(rows), columns=["onset", "offset", "label", "score"])


def _run(loud: np.ndarray) -> int:
    """How many parts are loud before the first that is not."""
    return int(np.append(loud, False).argmin())


def event_table(files: Iterable[Tagged], class_names: list[str], thresholds: np.ndarray) -> pd.DataFrame:
    """The events of files that have timelines, as COLUMNS."""
    tables = [pd.DataFrame(columns=COLUMNS)]
    for file in files:
        found = find_events(file.timeline, thresholds)
        names = {"filename": str(file.path), "event_label": [class_names[label] for label in found.label]}
        tables.append(found.assign(**names)[COLUMNS])
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def write_events(path: Path, table: pd.DataFrame) -> None:
    """A table as sed_eval reads it: tab-separated, a header, no score; with the suffix .txt a label track of Audacity.

    The track has no header and no file name, and the score behind the label.
    """
    table = table.assign(onset=table.onset.map("{:.3f}".format), offset=table.offset.map("{:.3f}".format))
    with atomic_write(path, "w") as file:
        if path.suffix.lower() == ".txt":
            track = table.assign(event_label=table.event_label + table.score.map(" {:.2f}".format))
            track[["onset", "offset", "event_label"]].to_csv(file, sep="\t", header=False, index=False)
        else:
            table[COLUMNS[:-1]].to_csv(file, sep="\t", index=False)
