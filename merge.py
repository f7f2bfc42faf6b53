"""Average the folds' probabilities into submission.csv; for --split val, join them into one out-of-fold table."""

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd

from loaders import get_data_path
from loaders.layouts import Corpus, read_corpus
from predicting.merging import (
    Runs,
    add_run_flags,
    align,
    average_folds,
    balance,
    check_run,
    find_predictions,
    guess_by_frequency,
    join_folds,
    no_predictions,
    refuse_empty_folders,
)
from predicting.metrics import lwlrap, per_class_lwlrap
from predicting.prediction_file import Predictions, write_labels, write_table
from predicting.runs import choose_runs
from predicting.scores import describe_test, further
from utils.atomic import atomic_write, try_outputs
from utils.cli import make_parser
from utils.errors import UserError, run

OUTPUTS = {"test": "submission.csv", "val": "oof.csv", "train_noisy": "noisy.csv"}


def main() -> int:
    args = parse_args()
    output = Path(args.output or OUTPUTS[args.split])
    try_outputs("--output", output)
    corpus = read_corpus(get_data_path(args.dataset))
    found = find_predictions(args, args.split)
    if not found:
        raise no_predictions(args, args.split)
    refuse_empty_folders(args, found)
    runs = choose_runs(found, args.run, "average")
    if others := [name for name in found if name not in runs]:
        print(f"not averaged: {', '.join(others)}; --run takes several runs")
    for name, folds in runs.items():
        check_run(name, folds, corpus, args.allow_missing)
    if args.split == "val":
        fnames, probabilities = join_folds(runs, corpus)
        print_cv(runs, corpus, fnames, probabilities)
    else:
        fnames, probabilities = average_folds(runs, corpus, args.split)
    if args.split == "test":
        print_test_scores(runs, corpus, probabilities)
    if args.balance:
        probabilities = balance(probabilities)
        print_balanced(args.split, corpus, fnames, probabilities)
    text = io.StringIO()
    if args.split == "test" and corpus.labels_in_submission:
        write_labels(text, fnames, corpus.class_names, probabilities, corpus.labels_in_submission)
        check_labels(text.getvalue(), fnames, corpus)
    else:
        write_table(text, fnames, corpus.class_names, probabilities)
        check_table(text.getvalue(), fnames, corpus.class_names)
    with atomic_write(output, "w") as file:
        file.write(text.getvalue())
    print(f"{output}: {len(fnames)} clips, {len(corpus.class_names)} classes")
    return 0


def check_table(text: str, fnames: list[str], class_names: list[str]) -> None:
    """Read the table as a judge will: every clip once in the data set's order, every class, all within 0 and 1."""
    table = pd.read_csv(io.StringIO(text), dtype={"fname": str}, keep_default_na=False)
    if list(table.columns) != ["fname", *class_names] or list(table.fname) != fnames:
        raise UserError("the merged table would not have the rows and columns of the sample submission")
    probabilities = table[class_names].apply(pd.to_numeric, errors="coerce").to_numpy()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN is neither
        raise UserError("the merged probabilities are not all within 0 and 1; predict the folds again")


def check_labels(text: str, fnames: list[str], corpus: Corpus) -> None:
    """Read the table as a judge will: every clip once in the data set's order, and as many classes as it asks for."""
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if list(table.columns) != ["fname", "label"] or list(table.fname) != fnames:
        raise UserError("the merged table would not have the rows and columns of the sample submission")
    wanted = min(corpus.labels_in_submission, len(corpus.class_names))
    for labels in table.label.str.split(" "):
        if len(set(labels)) != wanted or not set(labels) <= set(corpus.class_names):
            raise UserError(f"{' '.join(labels)!r} are not {wanted} labels; class names must not contain blanks here")


def print_test_scores(runs: Runs, corpus: Corpus, probabilities: np.ndarray) -> None:
    test = corpus.subset("test")
    if test.truth is None:
        return
    singles = []
    for name, folds in runs.items():
        for path, fold in folds.items():
            aligned = align(path, fold, test.fnames, corpus)
            singles.append(further(test.truth, aligned, ["lwlrap", *corpus.metrics]))
            print(f"{name} fold {fold.args['fold_num']}: {describe_test(test, aligned, corpus.metrics)}")
    guess = np.tile(guess_by_frequency(corpus), (len(test.fnames), 1))
    print(f"guess by label frequency: {describe_test(test, guess, corpus.metrics)}")
    means = {metric: np.mean([scores[metric] for scores in singles]) for metric in singles[0]}
    told = " | ".join(f"{metric} overall {value:.4f}" for metric, value in means.items())
    print(f"mean of {len(singles)} folds: {told}")
    print(f"merged: {describe_test(test, probabilities, corpus.metrics)}")


def print_balanced(split: str, corpus: Corpus, fnames: list[str], scores: np.ndarray) -> None:
    if split == "val":
        truth = corpus.subset("train_curated").truth_of(fnames)
        print(f"CV lwlrap, balanced {lwlrap(truth, scores):.4f} over {len(fnames)} clips")
    elif split == "test" and corpus.subset("test").truth is not None:
        print(f"merged, balanced: {describe_test(corpus.subset('test'), scores, corpus.metrics)}")


def print_cv(runs: Runs, corpus: Corpus, fnames: list[str], probabilities: np.ndarray) -> None:
    truth = corpus.subset("train_curated").truth_of(fnames)
    values, _ = per_class_lwlrap(truth, probabilities)
    print("CV lwlrap per class, weakest first:")
    for i in np.argsort(values):
        if truth[:, i].any():
            print(f"  {values[i]:.3f}  {corpus.class_names[i]} ({truth[:, i].sum()} clips)")
    print(f"CV lwlrap {lwlrap(truth, probabilities):.4f} over {len(fnames)} clips")
    singles = [held_out_scores(fold, corpus) for folds in runs.values() for fold in folds.values()]
    for metric, value in further(truth, probabilities, corpus.metrics).items():
        mean = np.mean([scores[metric] for scores in singles if metric in scores])
        print(f"CV {metric} {value:.4f}, mean of {len(singles)} folds {mean:.4f}")


def held_out_scores(fold: Predictions, corpus: Corpus) -> dict[str, float]:
    """What a fold scores on the clips that it held out, by the metrics of the data set."""
    truth = corpus.subset("train_curated").truth_of(fold.fnames)
    return further(truth, fold.aligned(fold.fnames, corpus.class_names), corpus.metrics)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python merge.py --dataset freesound --split test")
    what = add_run_flags(parser)
    what.add_argument("--split", default="test", choices=list(OUTPUTS), help="val: out-of-fold predictions")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--output", help="the table to write; without the flag: submission.csv, oof.csv or noisy.csv, by --split"
    )
    how.add_argument(
        "--balance",
        action="store_true",
        help="lower the classes that are high in all clips; for a set whose classes are about equally frequent",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
