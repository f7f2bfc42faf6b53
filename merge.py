"""Average the folds' probabilities into submission.csv; for --split val, join them into one out-of-fold table."""

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd

from loaders import get_data_path
from loaders.layouts import Corpus, read_corpus
from utils.atomic import atomic_write, try_outputs
from utils.cli import make_parser, positive_int, seed
from utils.errors import UserError, run
from utils.merging import (
    Runs,
    align,
    average_folds,
    check_run,
    find_predictions,
    guess_by_frequency,
    join_folds,
    no_predictions,
)
from utils.metric import lwlrap, per_class_lwlrap, score_line, score_parts
from utils.prediction_file import write_table
from utils.runs import choose_runs

OUTPUTS = {"test": "submission.csv", "val": "oof.csv", "train_noisy": "noisy.csv"}


def main() -> int:
    args = parse_args()
    output = Path(args.output or OUTPUTS[args.split])
    try_outputs("--output", output)
    corpus = read_corpus(get_data_path(args.dataset))
    found = find_predictions(args, args.split)
    if not found:
        raise no_predictions(args, args.split)
    runs = choose_runs(found, args.run, "average")
    for name, folds in runs.items():
        check_run(name, folds, corpus, args.allow_missing)
    if args.split == "val":
        fnames, probabilities = join_folds(runs, corpus)
        print_cv(corpus, fnames, probabilities)
    else:
        fnames, probabilities = average_folds(runs, corpus, args.split)
    if args.split == "test":
        print_test_scores(runs, corpus, probabilities)
    text = io.StringIO()
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


def print_test_scores(runs: Runs, corpus: Corpus, probabilities: np.ndarray) -> None:
    test = corpus.subset("test")
    if test.truth is None:
        return
    singles = []
    for name, folds in runs.items():
        for path, fold in folds.items():
            parts = score_parts(test, align(path, fold, test.fnames, corpus))
            singles.append(parts["overall"])
            print(f"{name} fold {fold.args['fold_num']}: lwlrap {score_line(parts)}")
    guess = np.tile(guess_by_frequency(corpus), (len(test.fnames), 1))
    print(f"guess by label frequency: lwlrap {score_line(score_parts(test, guess))}")
    print(f"mean of {len(singles)} folds: lwlrap overall {np.mean(singles):.4f}")
    print(f"merged: lwlrap {score_line(score_parts(test, probabilities))}")


def print_cv(corpus: Corpus, fnames: list[str], probabilities: np.ndarray) -> None:
    truth = corpus.subset("train_curated").truth_of(fnames)
    values, _ = per_class_lwlrap(truth, probabilities)
    print("CV lwlrap per class, weakest first:")
    for i in np.argsort(values):
        if truth[:, i].any():
            print(f"  {values[i]:.3f}  {corpus.class_names[i]} ({truth[:, i].sum()} clips)")
    print(f"CV lwlrap {lwlrap(truth, probabilities):.4f} over {len(fnames)} clips")


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python merge.py --dataset freesound --split test")
    what = parser.add_argument_group("which predictions")
    what.add_argument("--dataset", default="freesound", help="a name in config.json")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--seed", type=seed, help="of the training; without the flag, any")
    what.add_argument("--split", default="test", choices=list(OUTPUTS), help="val: out-of-fold predictions")
    what.add_argument("--run", nargs="+", help="runs to average, ARCH_RATE_FOLDS, where there are several")
    what.add_argument(
        "--prediction_dir",
        nargs="+",
        default=["predictions"],
        help="where test.py wrote them; of several, all are averaged",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--allow_missing", action="store_true", help="go on though a fold is missing")
    how.add_argument("--output", help="the table to write; submission.csv, oof.csv for --split val, noisy.csv")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
