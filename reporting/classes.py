"""Sections: each class's score, and which wrong labels stand above the true ones."""

import numpy as np

from predicting.metrics import per_class_lwlrap
from reporting.analysis import confusions, outranked, worst_pairs
from reporting.heat_map import heat_map
from reporting.markup import DASH, Section, blank, number, table, text
from reporting.results import Results

MOST_PAIRS = 200  # rows of the table
MOST_IN_MAP = 24  # classes; more would be too small to read
MOST_IN_MATRIX = 60  # classes of a confusion matrix, which is whole where that can be
BESIDE = 16  # classes that leave room for the table beside the map


def classes_section(results: Results) -> Section:
    """A table of all classes, weakest first."""
    truth, probabilities = results.held_out()
    values, _ = per_class_lwlrap(truth, probabilities)
    clips, names = truth.sum(axis=0), results.corpus.class_names
    counts = outranked(truth, probabilities)
    rows = []
    for i in np.argsort(values):
        if not clips[i]:
            continue
        row = [text(names[i]), number(int(clips[i]), ",d"), number(values[i], ".3f", bar=True)]
        rival = int(counts[i].argmax())
        if counts[i, rival]:
            rows.append([*row, text(names[rival]), number(counts[i, rival] / clips[i], ".0%")])
        else:
            rows.append([*row, text(DASH), blank()])
    heads = ["class", "clips", "lwlrap", "strongest rival", "stands above in"]
    lead = (
        "Out of fold, weakest first. The strongest rival is the wrong label that most often stands above the true one."
    )
    return Section("classes", "Classes", lead, table("per-class", heads, rows, hint="Show only"))


def confusion_section(results: Results) -> Section:
    """A map of the most confused classes and a table of the worst pairs; of single-label data, a confusion matrix."""
    truth, probabilities = results.held_out()
    single = results.corpus.single_label
    names, clips = results.corpus.class_names, truth.sum(axis=0)  # (C,)
    counts = confusions(truth, probabilities) if single else outranked(truth, probabilities)  # (C, C)
    wrong = counts * ~np.eye(len(names), dtype=bool)
    rows = [
        [text(names[t]), text(names[w]), number(counts[t, w] / clips[t], ".0%", bar=True),
         number(int(counts[t, w]), ",d"), number(int(clips[t]), ",d")]
        for t, w in worst_pairs(wrong, clips, MOST_PAIRS)
    ]  # fmt: skip
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    chosen = np.sort(order[: MOST_IN_MATRIX if single else MOST_IN_MAP])
    shown, which = counts[np.ix_(chosen, chosen)], "all classes"
    if len(chosen) < len(names):
        which = f"the {len(chosen)} most confused of {len(names)} classes"
    if single:
        title, head, cell = "Confusion matrix", "taken for", "taken for {1}"
        lead = (
            f"Out of fold; {counts.trace():,} of {len(truth):,} clips are right. Rows are true labels, columns the "
            f"most probable class; the stronger the colour, the more of the row's clips ({which})."
        )
    else:
        title, head, cell = "Confusions", "ranked above it", "{1} above it"
        largest = (shown / np.maximum(clips[chosen], 1)[:, None]).max()
        lead = (
            "A clip can have several labels, so a confusion here is a wrong label that ranks above a true one. "
            "Rows are true labels, columns the wrong ones above them; the stronger the colour, the more of the row's "
            f"clips, up to {largest:.0%} ({which})."
        )
    drawn = heat_map(shown, clips[chosen], [names[i] for i in chosen], cell)
    pairs = table("pairs", ["true label", head, "share", "times", "clips"], rows, hint="Show only")
    layout = ' class="halves"' if len(chosen) <= BESIDE else ""
    body = f'<div{layout}><div class="scroll map" tabindex="0">{drawn}</div><div>{pairs}</div></div>'
    return Section("confusions", title, lead, body)
