"""Section: what the run scores, out of fold and, where the answers are known, on the test clips."""

from pathlib import Path

import numpy as np

from reporting.markup import Section, blank, card, number, table, text
from reporting.results import Results, fold_name
from utils.merging import Folds, align, guess_by_frequency
from utils.metric import lwlrap, score_parts
from utils.prediction_file import Predictions

PARTS = ("public", "private", "overall")


def scores_section(results: Results) -> Section | None:
    """Cards and a table of folds; None where there is nothing to score with."""
    held_out, test = _held_out_scores(results), _test_scores(results)
    if not held_out and not test:
        return None
    cards, rows = [], []
    if held_out:
        truth, probabilities = results.held_out()
        clips = f"{len(truth):,} curated clips, each by the fold that held it out"
        cards.append(card("CV lwlrap", f"{lwlrap(truth, probabilities):.4f}", clips, main=True))
    parts = [part for part in PARTS if part in test.get("merged", {})]
    for part in parts:
        cards.append(card(f"test, {part}", f"{test['merged'][part]:.4f}", "mean of the folds' probabilities"))
    folds = [name for name in {**held_out, **test} if name not in ("merged", "guess")]
    singles = [test[name]["overall"] for name in folds if name in test]
    if singles:
        gain = test["merged"]["overall"] - float(np.mean(singles))
        cards.append(card("gain of merging", f"{gain:+.4f}", f"over a single fold's {np.mean(singles):.4f} on average"))
    for name in folds:
        score = number(held_out[name], ".4f") if name in held_out else blank()
        rows.append([text(name), score, *_cells(test.get(name, {}), parts)])
    if test:
        mean = {part: float(np.mean([test[name][part] for name in folds if name in test])) for part in parts}
        average = number(float(np.mean(list(held_out.values()))), ".4f") if held_out else blank()
        rows.append([text("mean of folds"), average, *_cells(mean, parts)])
        rows.append([text("merged"), blank(), *_cells(test["merged"], parts)])
        rows.append([text("guess by label frequency"), blank(), *_cells(test["guess"], parts)])
    heads = ["", "held out", *parts]
    body = f'<div class="cards">{"".join(cards)}</div>{table("folds", heads, rows, sortable=False)}'
    lead = "lwlrap: the precision of the ranking down to each true label, averaged over all of them; 1 is perfect."
    if test:
        lead += " Held out: curated clips. The other columns: test clips."
    return Section("scores", "Scores", lead, body)


def _cells(row: dict[str, float], parts: list[str]) -> list[str]:
    return [number(row[part], ".4f") if part in row else blank() for part in parts]


def _held_out_scores(results: Results) -> dict[str, float]:
    """Each fold's lwlrap on the clips that it held out."""
    curated, scores = results.corpus.subsets.get("train_curated"), {}
    for run, folds in results.runs.get("val", {}).items():
        for _, fold in _in_order(folds):
            truth = curated.truth_of(fold.fnames)
            aligned = fold.aligned(fold.fnames, results.corpus.class_names)
            scores[fold_name(results, run, fold.args["fold_num"])] = lwlrap(truth, aligned)
    return scores


def _test_scores(results: Results) -> dict[str, dict[str, float]]:
    """lwlrap of each fold, of the mean and of a guess; empty without predictions or answers."""
    test = results.corpus.subsets.get("test")
    if test is None or test.truth is None or "test" not in results.runs:
        return {}
    scores = {}
    for run, folds in results.runs["test"].items():
        for path, fold in _in_order(folds):
            aligned = align(path, fold, test.fnames, results.corpus)
            scores[fold_name(results, run, fold.args["fold_num"])] = score_parts(test, aligned)
    guess = np.tile(guess_by_frequency(results.corpus), (len(test.fnames), 1))
    return scores | {"merged": score_parts(test, results.tables["test"][1]), "guess": score_parts(test, guess)}


def _in_order(folds: Folds) -> list[tuple[Path, Predictions]]:
    return sorted(folds.items(), key=lambda item: item[1].args["fold_num"])
