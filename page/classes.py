"""Sections: each class's score, and which wrong labels stand above the true ones."""

from html import escape

import numpy as np

from page.analysis import outranked, worst_pairs
from page.markup import DASH, Section, blank, number, table, text
from page.results import Results
from utils.metric import per_class_lwlrap

MOST_PAIRS = 200  # rows of the table
MOST_IN_MAP = 24  # classes; more would be too small to read
CELL, HEAD, LETTER = 20, 110, 7.2  # pixels of the map: a cell, the names on top, a letter of the names at the left
LONGEST = 22  # letters of a name


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
    """A map of the most confused classes and a table of the worst pairs."""
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
    which = f"the {len(chosen)} most confused of {len(names)} classes" if len(chosen) < len(names) else "all classes"
    lead = (
        "A clip can have several labels, so a confusion here is a wrong label that ranks above a true one. "
        "Rows are true labels, columns the wrong ones above them; the stronger the colour, the more of the row's "
        f"clips ({which})."
    )
    drawn = heat_map(counts[np.ix_(chosen, chosen)], clips[chosen], [names[i] for i in chosen])
    body = f'<div class="halves"><div class="scroll map" tabindex="0">{drawn}</div><div>{pairs}</div></div>'
    return Section("confusions", "Confusions", lead, body)


def heat_map(counts: np.ndarray, clips: np.ndarray, names: list[str]) -> str:
    """SVG of counts (n, n) as shares of the clips (n,) of each row, spelt out where the pointer rests."""
    side = CELL * len(names)
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    left = round(LETTER * max(map(len, short), default=0)) + 12
    parts = [f'<rect class="field" x="{left}" y="{HEAD}" width="{side}" height="{side}"/>']
    for i, name in enumerate(short):
        middle, at = i * CELL + CELL // 2, i * CELL + 1
        parts += [
            f'<text x="{left - 8}" y="{HEAD + middle + 4}" text-anchor="end">{escape(name)}</text>',
            f'<text transform="translate({left + middle + 4} {HEAD - 8}) rotate(-55)">{escape(name)}</text>',
            f'<rect class="self" x="{left + at}" y="{HEAD + at}" width="{CELL - 2}" height="{CELL - 2}"/>',
        ]
    for t, w in zip(*np.nonzero(counts), strict=True):
        share = counts[t, w] / clips[t]
        said = f"{names[t]}: {names[w]} above it in {counts[t, w]} of {clips[t]} clips ({share:.0%})"
        parts.append(
            f'<rect class="hit" x="{left + w * CELL + 1}" y="{HEAD + t * CELL + 1}" width="{CELL - 2}" '
            f'height="{CELL - 2}" fill-opacity="{share:.3f}"><title>{escape(said)}</title></rect>'
        )
    width, height = left + side + HEAD * 0.7, HEAD + side + 4
    return (
        f'<svg viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" role="img" '
        f'aria-label="Heat map of confusions">{"".join(parts)}</svg>'
    )
