"""Section: what the run scores, out of fold and, where the answers are known, on the test clips."""

import numpy as np

from predicting.merging import align, guess_by_frequency
from predicting.metrics import METRICS, score_parts
from reporting.markup import Section, blank, card, number, table, text
from reporting.results import Results

Scores = dict[str, float]
PARTS = ("public", "private", "overall")
HELD_OUT, GUESS = "held out", "guess by label frequency"
SAYS = {
    "lwlrap": "the precision of the ranking down to each true label, averaged over all of them; 1 is perfect",
    "accuracy": "the share of clips whose label is the most probable class",
    "mAP": "average precision of each class, averaged over classes",
    "d-prime": "the mean area under the classes' ROC curves as a distance of two normal distributions; 0 is chance",
    "mAP@3": "1, 1/2 or 1/3 by the place of the label among the three most probable classes, else 0",
}


def scores_section(results: Results) -> Section | None:
    """Cards and a table of folds for lwlrap and for each metric of the data set; None without anything to score."""
    cards, tables, lead, tested = [], "", "", False
    for metric in ("lwlrap", *results.corpus.metrics):
        if rows := _rows(results, metric):
            cards += _cards(results, metric, rows)
            tables += _table(metric, rows)
            lead += f"{metric}: {SAYS[metric]}. "
            tested |= "merged" in rows
    if not tables:
        return None
    lead += "Held out: curated clips. The other columns: test clips." if tested else ""
    return Section("scores", "Scores", lead.strip(), f'<div class="cards">{"".join(cards)}</div>{tables}')


def _rows(results: Results, metric: str) -> dict[str, Scores]:
    """The scores of each fold and, where the test clips have answers, of "merged" and GUESS: by row, by column."""
    rows: dict[str, Scores] = {}
    curated, test = (results.corpus.subsets.get(name) for name in ("train_curated", "test"))
    for name, _, fold in results.folds("val"):
        aligned = fold.aligned(fold.fnames, results.corpus.class_names)
        value = METRICS[metric](curated.truth_of(fold.fnames), aligned)
        if not np.isnan(value):
            rows[name] = {HELD_OUT: value}
    merged = score_parts(test, results.tables["test"][1], metric) if "test" in results.runs else {}
    if not merged:
        return rows
    for name, path, fold in results.folds("test"):
        aligned = align(path, fold, test.fnames, results.corpus)
        rows.setdefault(name, {}).update(score_parts(test, aligned, metric))
    guess = np.tile(guess_by_frequency(results.corpus), (len(test.fnames), 1))
    return rows | {"merged": merged, GUESS: score_parts(test, guess, metric)}


def _cards(results: Results, metric: str, rows: dict[str, Scores]) -> list[str]:
    cards, main = [], metric == "lwlrap"
    if any(HELD_OUT in row for row in rows.values()):
        truth, probabilities = results.held_out()
        clips = f"{len(truth):,} curated clips, each by the fold that held it out"
        cards.append(card(f"CV {metric}", f"{METRICS[metric](truth, probabilities):.4f}", clips, main=main))
    merged = rows.get("merged", {})
    for part in (part for part in PARTS if part in merged and (main or part == "overall")):
        title = f"test, {part}" if main else f"test {metric}"
        cards.append(card(title, f"{merged[part]:.4f}", "mean of the folds' probabilities"))
    if merged and main:
        single = _mean(rows)["overall"]
        gain = f"{merged['overall'] - single:+.4f}"
        cards.append(card("gain of merging", gain, f"over a single fold's {single:.4f} on average"))
    return cards


def _mean(rows: dict[str, Scores]) -> Scores:
    """The mean over the folds, by column."""
    folds = [row for name, row in rows.items() if name not in ("merged", GUESS)]
    columns = dict.fromkeys(column for row in folds for column in row)
    return {column: float(np.mean([row[column] for row in folds if column in row])) for column in columns}


def _table(metric: str, rows: dict[str, Scores]) -> str:
    columns = [HELD_OUT, *(part for part in PARTS if part in rows.get("merged", {}))]
    shown = {name: row for name, row in rows.items() if name not in ("merged", GUESS)}
    if "merged" in rows or metric != "lwlrap":
        shown["mean of folds"] = _mean(rows)
    shown |= {name: rows[name] for name in ("merged", GUESS) if name in rows}
    cells = [
        [text(name), *(number(row[column], ".4f") if column in row else blank() for column in columns)]
        for name, row in shown.items()
    ]
    name, head = ("folds", "") if metric == "lwlrap" else (f"folds-{metric}", metric)
    return table(name, [head, *columns], cells, sortable=False)
