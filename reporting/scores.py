"""Section: what the run scores, out of fold and, where the answers are known, on the test clips."""

import numpy as np

from predicting.merging import align, guess_by_frequency
from predicting.metrics import METRICS, mean_values, score_parts
from reporting.markup import Section, card, number, table, text
from reporting.results import Results

Rows = dict[str, dict[str, float]]  # scores by row and column of a table
HELD_OUT = "held out"
SAYS = {
    "lwlrap": "the precision of the ranking down to each true label, averaged over all of them; 1 is perfect",
    "accuracy": "the share of clips whose label is the most probable class",
    "mAP": "average precision of each class, averaged over classes",
    "d-prime": "the mean area under the classes' ROC curves as a distance of two normal distributions; 0 is chance",
    "mAP@3": "1, 1/2 or 1/3 by the place of the label among the three most probable classes, else 0",
}


def scores_section(results: Results) -> Section | None:
    """Cards and a table of folds for lwlrap and for each metric of the data set; None without anything to score."""
    cards, tables, lead, note = "", "", "", ""
    for metric in ("lwlrap", *results.corpus.metrics):
        folds, tested = _scores(results, metric)
        if not folds:
            continue
        mean = mean_values(folds.values())
        cards += _cards(results, metric, mean, tested.get("merged", {}))
        tables += _table(metric, folds, mean, tested)
        lead += f"{metric}: {SAYS[metric]}. "
        note = "Held out: curated clips. The other columns: test clips." if tested else note
    if not tables:
        return None
    lead += note
    return Section("scores", "Scores", lead.strip(), f'<div class="cards">{cards}</div>{tables}')


def _scores(results: Results, metric: str) -> tuple[Rows, Rows]:
    """Those of the folds; and of their mean and of a guess, none where the test clips have no answers."""
    folds: Rows = {}
    curated, test = (results.corpus.subsets.get(name) for name in ("train_curated", "test"))
    for name, _, fold in results.folds("val"):
        aligned = fold.aligned(fold.fnames, results.corpus.class_names)
        value = METRICS[metric](curated.truth_of(fold.fnames), aligned)
        if not np.isnan(value):
            folds[name] = {HELD_OUT: value}
    merged = score_parts(test, results.tables["test"][1], metric) if "test" in results.runs else {}
    if not merged:
        return folds, {}
    for name, path, fold in results.folds("test"):
        aligned = align(path, fold, test.fnames, results.corpus)
        folds.setdefault(name, {}).update(score_parts(test, aligned, metric))
    guess = np.tile(guess_by_frequency(results.corpus), (len(test.fnames), 1))
    return folds, {"merged": merged, "guess by label frequency": score_parts(test, guess, metric)}


def _cards(results: Results, metric: str, mean: dict[str, float], merged: dict[str, float]) -> str:
    cards, main = "", metric == "lwlrap"
    if HELD_OUT in mean:
        truth, probabilities = results.held_out()
        clips = f"{len(truth):,} curated clips, each by the fold that held it out"
        cards += card(f"CV {metric}", f"{METRICS[metric](truth, probabilities):.4f}", clips, main=main)
    for part in merged if main else {"overall"} & {*merged}:
        title = f"test, {part}" if main else f"test {metric}"
        cards += card(title, f"{merged[part]:.4f}", "mean of the folds' probabilities")
    if merged and main:
        single = mean["overall"]
        note = f"over a single fold's {single:.4f} on average"
        cards += card("gain of merging", f"{merged['overall'] - single:+.4f}", note)
    return cards


def _table(metric: str, folds: Rows, mean: dict[str, float], tested: Rows) -> str:
    columns = [HELD_OUT, *tested.get("merged", {})]
    shown = folds | ({"mean of folds": mean} if tested or metric != "lwlrap" else {}) | tested
    cells = [[text(name), *(number(row.get(column), ".4f") for column in columns)] for name, row in shown.items()]
    name, head = ("folds", "") if metric == "lwlrap" else (f"folds-{metric}", metric)
    return table(name, [head, *columns], cells)
