"""Sections on the curated clips, out of fold: the score of each class, confusions, calibration."""

import numpy as np

from predicting.metrics import per_class_lwlrap
from reporting.charts import heat_map, reliability_chart
from reporting.markup import DASH, Section, number, table, text
from reporting.results import Results

MOST_PAIRS = 200  # rows of the table
MOST_IN_MAP = 24  # classes; more would be too small to read
MOST_IN_MATRIX = 60  # classes of a confusion matrix, which is whole where that can be
BESIDE = 16  # classes that leave room for the table beside the map
BINS = 10  # of the probabilities


def classes_section(results: Results) -> Section:
    """A table of all classes, weakest first."""
    truth, probabilities = results.held_out()
    values, _ = per_class_lwlrap(truth, probabilities)
    clips, names = truth.sum(axis=0), results.corpus.class_names
    counts = outranked(truth, probabilities)
    rows = []
    for i in (i for i in np.argsort(values) if clips[i]):
        rival, share = int(counts[i].argmax()), counts[i].max() / clips[i]
        row = [text(names[i]), number(int(clips[i]), ",d"), number(values[i], ".3f", bar=True)]
        rows.append([*row, text(names[rival] if share else DASH), number(share or None, ".0%")])
    heads = ["class", "clips", "lwlrap", "strongest rival", "stands above in"]
    lead = "Out of fold, weakest first. The strongest rival: the wrong label that most often stands above the true one."
    return Section("classes", "Classes", lead, table("per-class", heads, rows, long=True))


def confusion_section(results: Results) -> Section:
    """A map of the most confused classes and a table of the worst pairs; of single-label data, a confusion matrix."""
    truth, probabilities = results.held_out()
    names, clips = results.corpus.class_names, truth.sum(axis=0)  # (C,)
    if results.corpus.single_label:
        counts = truth.T.astype(int) @ np.eye(len(names), dtype=int)[probabilities.argmax(axis=1)]  # (C, C)
        title, head, cell, most = "Confusion matrix", "taken for", "taken for {}", MOST_IN_MATRIX
        said = f"Out of fold; {counts.trace():,} of {len(truth):,} clips are right."
        columns = "the most probable class"
    else:
        counts = outranked(truth, probabilities)
        title, head, cell, most = "Confusions", "ranked above it", "{} above it", MOST_IN_MAP
        said = "A clip can have several labels, so a confusion here is a wrong label that ranks above a true one."
        columns = "the wrong ones above them"
    wrong = counts * ~np.eye(len(names), dtype=bool)
    rows = [
        [text(names[t]), text(names[w]), number(counts[t, w] / clips[t], ".0%", bar=True),
         number(int(counts[t, w]), ",d"), number(int(clips[t]), ",d")]
        for t, w in worst_pairs(wrong, clips, MOST_PAIRS)
    ]  # fmt: skip
    chosen = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:most])
    which = f"the {len(chosen)} most confused of {len(names)} classes" if len(chosen) < len(names) else "all classes"
    shown = counts[np.ix_(chosen, chosen)]
    largest = (shown / np.maximum(clips[chosen], 1)[:, None]).max()
    lead = (
        f"{said} Rows are true labels, columns {columns}; the stronger the colour, the more of the row's clips, "
        f"up to {largest:.0%} ({which})."
    )
    drawn = heat_map(shown, clips[chosen], [names[i] for i in chosen], cell)
    pairs = table("pairs", ["true label", head, "share", "times", "clips"], rows, long=True)
    layout = ' class="halves"' if len(chosen) <= BESIDE else ""
    body = f'<div{layout}><div class="scroll map" tabindex="0">{drawn}</div><div>{pairs}</div></div>'
    return Section("confusions", title, lead, body)


def calibration_section(results: Results) -> Section:
    """The reliability of the out-of-fold probabilities as a chart and as a table."""
    tables = [reliability(*held_out) for held_out in (results.held_out(), results.calibrated()) if held_out]
    errors = [f"{calibration_error(*each):.4f}" for each in tables]
    (mean, share, count), rows = tables[0], []
    for i, pairs in enumerate(count.tolist()):
        measured = [number(values[i] if pairs else None, ".3f") for values in (mean, share)]
        rows.append([text(f"{i / BINS:.1f} to {(i + 1) / BINS:.1f}"), *measured, number(pairs, ",d")])
    chart = reliability_chart(tables, "Reliability of the probabilities")
    bins = table("bins", ["probability", "mean", "true", "pairs"], rows)
    lead = (
        "Every pair of a curated clip and a class, out of fold. On the dashed line probabilities are what they claim; "
        "above it the model is too cautious, below it too sure. A dot's size tells how many pairs it stands for. "
        f"Expected calibration error {errors[0]}."
    )
    if len(errors) > 1:
        lead += f" The second line is after each network's own calibration: {errors[1]}."
    body = f'<div class="halves even"><figure class="chart large">{chart}</figure><div>{bins}</div></div>'
    return Section("calibration", "Calibration", lead, body)


def outranked(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How often a wrong label (column) stands at or above a true one (row) in the ranking of a clip: (C, C) int.

    truth (N, C) bool, scores (N, C).  A clip counts once for each of its true labels.  Equal scores count, as they
    cost lwlrap.
    """
    above = [(scores[rows] >= scores[rows, c, None]) & ~truth[rows] for c, rows in enumerate(truth.T)]
    return np.array([rivals.sum(axis=0) for rivals in above])


def worst_pairs(counts: np.ndarray, clips: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Pairs (true label, wrong label) that occur, by share of the label's clips, then by number, largest first.

    counts (C, C) of `outranked`; clips (C,) that have each label.
    """
    share = counts / np.maximum(clips, 1)[:, None]
    true, wrong = np.nonzero(counts)
    order = np.lexsort((-counts[true, wrong], -share[true, wrong]))[:most]
    return list(zip(true[order].tolist(), wrong[order].tolist(), strict=True))


def reliability(truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, ...]:
    """Per bin of equal width: mean probability, share of true labels (both NaN where empty), and how many: (bins,).

    All (clip, class) pairs of truth (N, C) bool and probabilities (N, C) in [0, 1] are pooled.
    """
    p, hit = probabilities.ravel().astype(np.float64), truth.ravel()
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(place, values, minlength=bins) / count for values in (p, hit))
    return mean, share, count


def calibration_error(mean: np.ndarray, share: np.ndarray, count: np.ndarray) -> float:
    """Expected calibration error of the bins of `reliability`: their mean distance, weighted by how many."""
    return float(np.nansum(np.abs(mean - share) * count) / count.sum())
