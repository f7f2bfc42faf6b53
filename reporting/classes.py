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
        rival = int(counts[i].argmax())
        taken = [text(names[rival]), number(counts[i, rival] / clips[i], ".0%")]
        rows.append(
            [text(names[i]), number(int(clips[i]), ",d"), number(values[i], ".3f", bar=True)]
            + (taken if counts[i, rival] else [text(DASH), blank()])
        )
    heads = ["class", "clips", "lwlrap", "strongest rival", "stands above in"]
    lead = (
        "Out of fold, weakest first. The strongest rival is the wrong label that most often stands above the true one."
    )
    return Section("classes", "Classes", lead, table("per-class", heads, rows, hint="Show only"))


def confusion_section(results: Results) -> Section:
    """A map of the most confused classes and a table of the worst pairs; a confusion matrix of single-label data."""
    return _confusion_matrix(results) if results.corpus.single_label else _rivals(results)


def _rivals(results: Results) -> Section:
    truth, probabilities = results.held_out()
    names, clips = results.corpus.class_names, truth.sum(axis=0)
    counts = outranked(truth, probabilities)
    rows = [
        [text(names[t]), text(names[w]), number(counts[t, w] / clips[t], ".0%", bar=True),
         number(int(counts[t, w]), ",d"), number(int(clips[t]), ",d")]
        for t, w in worst_pairs(counts, clips, MOST_PAIRS)
    ]  # fmt: skip
    heads = ["true label", "ranked above it", "share", "times", "clips"]
    pairs = table("pairs", heads, rows, hint="Show only")
    chosen = np.sort(np.argsort(-(counts.sum(axis=0) + counts.sum(axis=1)), kind="stable")[:MOST_IN_MAP])
    share = counts[np.ix_(chosen, chosen)] / np.maximum(clips[chosen], 1)[:, None]
    which = f"the {len(chosen)} most confused of {len(names)} classes" if len(chosen) < len(names) else "all classes"
    lead = (
        "A clip can have several labels, so a confusion here is a wrong label that ranks above a true one. "
        "Rows are true labels, columns the wrong ones above them; the stronger the colour, the more of the row's "
        f"clips, up to {share.max():.0%} ({which})."
    )
    drawn = heat_map(counts[np.ix_(chosen, chosen)], clips[chosen], [names[i] for i in chosen])
    return Section("confusions", "Confusions", lead, _map_and_table(drawn, pairs, len(chosen)))


def _confusion_matrix(results: Results) -> Section:
    truth, probabilities = results.held_out()
    names, clips = results.corpus.class_names, truth.sum(axis=0)
    counts = confusions(truth, probabilities)
    wrong = counts * ~np.eye(len(names), dtype=bool)
    rows = [
        [text(names[t]), text(names[w]), number(counts[t, w] / clips[t], ".0%", bar=True),
         number(int(counts[t, w]), ",d"), number(int(clips[t]), ",d")]
        for t, w in worst_pairs(wrong, clips, MOST_PAIRS)
    ]  # fmt: skip
    pairs = table("pairs", ["true label", "taken for", "share", "times", "clips"], rows, hint="Show only")
    most = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST_IN_MATRIX]
    chosen = np.sort(most)
    which = f"the {len(chosen)} most confused of {len(names)} classes" if len(chosen) < len(names) else "all classes"
    lead = (
        f"Out of fold; {counts.trace():,} of {len(truth):,} clips are right. Rows are true labels, columns the most "
        f"probable class; the stronger the colour, the more of the row's clips ({which})."
    )
    shown = [names[i] for i in chosen]
    drawn = heat_map(counts[np.ix_(chosen, chosen)], clips[chosen], shown, "taken for {1}")
    return Section("confusions", "Confusion matrix", lead, _map_and_table(drawn, pairs, len(chosen)))


def _map_and_table(drawn: str, pairs: str, n: int) -> str:
    layout = ' class="halves"' if n <= BESIDE else ""
    return f'<div{layout}><div class="scroll map" tabindex="0">{drawn}</div><div>{pairs}</div></div>'
