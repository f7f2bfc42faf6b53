"""Section: what the run scores, out of fold and, where the answers are known, on the test clips."""

from pathlib import Path

import numpy as np

from predicting.merging import Folds, align, guess_by_frequency
from predicting.metrics import METRICS
from predicting.prediction_file import Predictions
from predicting.scores import score_parts
from reporting.markup import Section, blank, card, number, table, text
from reporting.results import Results, fold_name

Scores = dict[str, float]
PARTS = ("public", "private", "overall")
SAYS = {
    "lwlrap": "the precision of the ranking down to each true label, averaged over all of them; 1 is perfect",
    "accuracy": "the share of clips whose label is the most probable class",
    "mAP": "average precision of each class, averaged over classes",
    "d-prime": "the mean area under the classes' ROC curves as a distance of two normal distributions; 0 is chance",
    "mAP@3": "1, 1/2 or 1/3 by the place of the label among the three most probable classes, else 0",
}


def scores_section(results: Results) -> Section | None:
    """Cards and a table of folds for lwlrap and for each metric of the data set; None without anything to score."""
    cards, tables, lead = [], "", ""
    for metric in ("lwlrap", *results.corpus.metrics):
        held_out, test = _held_out_scores(results, metric), _test_scores(results, metric)
        if held_out or test:
            cards += _cards(results, metric, held_out, test)
            tables += _table(metric, held_out, test)
            lead += f"{metric}: {SAYS[metric]}. "
    if not tables:
        return None
    lead += "Held out: curated clips. The other columns: test clips." if _test_scores(results, "lwlrap") else ""
    return Section("scores", "Scores", lead.strip(), f'<div class="cards">{"".join(cards)}</div>{tables}')


def _cards(results: Results, metric: str, held_out: Scores, test: dict[str, Scores]) -> list[str]:
    cards, main = [], metric == "lwlrap"
    if held_out:
        truth, probabilities = results.held_out()
        clips = f"{len(truth):,} curated clips, each by the fold that held it out"
        cards.append(card(f"CV {metric}", f"{METRICS[metric](truth, probabilities):.4f}", clips, main=main))
    merged = test.get("merged", {})
    for part in (part for part in PARTS if part in merged and (main or part == "overall")):
        title = f"test, {part}" if main else f"test {metric}"
        cards.append(card(title, f"{merged[part]:.4f}", "mean of the folds' probabilities"))
    singles = [row["overall"] for name, row in test.items() if name not in ("merged", "guess")]
    if singles and main:
        gain = merged["overall"] - float(np.mean(singles))
        cards.append(card("gain of merging", f"{gain:+.4f}", f"over a single fold's {np.mean(singles):.4f} on average"))
    return cards


def _table(metric: str, held_out: Scores, test: dict[str, Scores]) -> str:
    rows, parts = [], [part for part in PARTS if part in test.get("merged", {})]
    folds = [name for name in {**held_out, **test} if name not in ("merged", "guess")]
    for name in folds:
        score = number(held_out[name], ".4f") if name in held_out else blank()
        rows.append([text(name), score, *_cells(test.get(name, {}), parts)])
    if test or metric != "lwlrap":
        mean = {part: float(np.mean([test[name][part] for name in folds if name in test])) for part in parts}
        average = number(float(np.mean(list(held_out.values()))), ".4f") if held_out else blank()
        rows.append([text("mean of folds"), average, *_cells(mean, parts)])
    if test:
        rows.append([text("merged"), blank(), *_cells(test["merged"], parts)])
        rows.append([text("guess by label frequency"), blank(), *_cells(test["guess"], parts)])
    name, head = ("folds", "") if metric == "lwlrap" else (f"folds-{metric}", metric)
    return table(name, [head, "held out", *parts], rows, sortable=False)


def _cells(row: Scores, parts: list[str]) -> list[str]:
    return [number(row[part], ".4f") if part in row else blank() for part in parts]


def _held_out_scores(results: Results, metric: str) -> Scores:
    """Each fold's score on the clips that it held out, by the fold's name; only where the metric is defined."""
    curated, scores = results.corpus.subsets.get("train_curated"), {}
    for run, folds in results.runs.get("val", {}).items():
        for _, fold in _in_order(folds):
            truth = curated.truth_of(fold.fnames)
            aligned = fold.aligned(fold.fnames, results.corpus.class_names)
            scores[fold_name(results, run, fold.args["fold_num"])] = METRICS[metric](truth, aligned)
    return {name: score for name, score in scores.items() if not np.isnan(score)}


def _test_scores(results: Results, metric: str) -> dict[str, Scores]:
    """The score, part by part, of each fold, of the mean and of a guess; empty without predictions or answers."""
    test = results.corpus.subsets.get("test")
    if test is None or test.truth is None or "test" not in results.runs:
        return {}
    scores = {}
    for run, folds in results.runs["test"].items():
        for path, fold in _in_order(folds):
            aligned = align(path, fold, test.fnames, results.corpus)
            scores[fold_name(results, run, fold.args["fold_num"])] = score_parts(test, aligned, metric)
    guess = np.tile(guess_by_frequency(results.corpus), (len(test.fnames), 1))
    merged = score_parts(test, results.tables["test"][1], metric)
    return scores | {"merged": merged, "guess": score_parts(test, guess, metric)} if merged else {}


def _in_order(folds: Folds) -> list[tuple[Path, Predictions]]:
    return sorted(folds.items(), key=lambda item: item[1].args["fold_num"])
