"""Average the folds' probabilities into submission.csv; for --split val, join them into one out-of-fold table."""

import argparse
import io
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from loaders import get_data_path
from loaders.layouts import Corpus, read_corpus
from predicting.merging import Runs, add_run_flags, align, balance, guess_by_frequency, merge_folds, read_runs
from predicting.metrics import describe_test, lwlrap, mean_values, metric_values, per_class_lwlrap
from predicting.prediction_file import write_table
from utils.atomic import atomic_write, try_outputs
from utils.cli import make_parser
from utils.errors import UserError, run

OUTPUTS = {"test": "submission.csv", "val": "oof.csv", "train_noisy": "noisy.csv"}


def main() -> int:
    args = parse_args()
    output = Path(args.output or OUTPUTS[args.split])
    try_outputs("--output", output)
    corpus = read_corpus(get_data_path(args.dataset))
    runs = read_runs(args, [args.split], corpus, "average")[args.split]
    fnames, probabilities = merge_folds(runs, corpus, args.split)
    if args.split == "val":
        print_cv(runs, corpus, fnames, probabilities)
    elif args.split == "test" and corpus.subset("test").truth is not None:
        print_test_scores(runs, corpus, probabilities)
    if args.balance:
        probabilities = balance(probabilities)
        print_merged(args.split, corpus, fnames, probabilities, ", balanced")
    text = io.StringIO()
    if args.split == "test" and corpus.labels_in_submission:
        write_labels(text, fnames, corpus.class_names, probabilities, corpus.labels_in_submission)
    else:
        write_table(text, fnames, corpus.class_names, probabilities)
    with atomic_write(output, "w") as file:
        file.write(text.getvalue())
    print(f"{output}: {len(fnames)} clips, {len(corpus.class_names)} classes")
    return 0


def print_merged(split: str, corpus: Corpus, fnames: list[str], scores: np.ndarray, how: str = "") -> None:
    """The merged score, where the answers are known and were not trained on."""
    if split == "val":
        truth = corpus.subset("train_curated").truth_of(fnames)
        of = f" of {n}" if (n := len(corpus.subset("train_curated").fnames)) > len(fnames) else ""
        print(f"CV lwlrap{how} {lwlrap(truth, scores):.4f} over {len(fnames)}{of} clips")
    elif split == "test" and (line := describe_test(corpus.subset("test"), scores, corpus.metrics)):
        print(f"merged{how}: {line}")


def print_test_scores(runs: Runs, corpus: Corpus, probabilities: np.ndarray) -> None:
    test, singles = corpus.subset("test"), []
    for name, folds in runs.items():
        for path, fold in folds.items():
            aligned = align(path, fold, test.fnames, corpus)
            singles.append(metric_values(test.truth, aligned, ["lwlrap", *corpus.metrics]))
            print(f"{name} fold {fold.args['fold_num']}: {describe_test(test, aligned, corpus.metrics)}")
    guess = np.tile(guess_by_frequency(corpus), (len(test.fnames), 1))
    print(f"guess by label frequency: {describe_test(test, guess, corpus.metrics)}")
    overall = " | ".join(f"{metric} overall {value:.4f}" for metric, value in mean_values(singles).items())
    print(f"mean of {len(singles)} folds: {overall}")
    print_merged("test", corpus, test.fnames, probabilities)


def print_cv(runs: Runs, corpus: Corpus, fnames: list[str], probabilities: np.ndarray) -> None:
    curated, names = corpus.subset("train_curated"), corpus.class_names
    truth = curated.truth_of(fnames)
    values, _ = per_class_lwlrap(truth, probabilities)
    print("CV lwlrap per class, weakest first:")
    for i in np.argsort(values):
        if truth[:, i].any():
            print(f"  {values[i]:.3f}  {names[i]} ({truth[:, i].sum()} clips)")
    if unscored := [name for name, there in zip(names, truth.any(axis=0), strict=True) if not there]:
        print(f"no score of {', '.join(unscored)}: none of their clips was held out and predicted")
    print_merged("val", corpus, fnames, probabilities)
    folds = [fold for folds in runs.values() for fold in folds.values()]
    singles = [
        metric_values(curated.truth_of(fold.fnames), fold.aligned(fold.fnames, names), corpus.metrics) for fold in folds
    ]
    means = mean_values(singles)
    for metric, value in metric_values(truth, probabilities, corpus.metrics).items():
        n = sum(metric in scores for scores in singles)
        mean = f"mean of {n} folds {means[metric]:.4f}" if metric in means else "of no fold alone"
        print(f"CV {metric} {value:.4f}, {mean}")


def write_labels(file: IO, fnames: list[str], class_names: list[str], probabilities: np.ndarray, most: int) -> None:
    """CSV of fname and label, which names the `most` most probable classes, best first, separated by blanks."""
    if torn := [name for name in class_names if " " in name]:
        raise UserError(f"{torn[0]!r} cannot be in a submission of labels, which blanks separate; rename the class")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
    labels = [" ".join(class_names[i] for i in row) for row in best]
    pd.DataFrame({"fname": fnames, "label": labels}).to_csv(file, index=False)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python merge.py --dataset freesound --split test")
    what = add_run_flags(parser)
    what.add_argument("--split", default="test", choices=list(OUTPUTS), help="val: out-of-fold predictions")
    how = parser.add_argument_group("how")
    output = "the table to write; without the flag: submission.csv, oof.csv or noisy.csv, by --split"
    how.add_argument("--output", help=output)
    balanced = "lower the classes that are high in all clips; for a set whose classes are about equally frequent"
    how.add_argument("--balance", action="store_true", help=balanced)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
