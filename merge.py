"""Average the folds' probabilities into submission.csv; for --split val, join them into one out-of-fold table."""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from loaders import get_data_path
from loaders.layouts import Corpus, read_corpus
from utils.atomic import atomic_write
from utils.cli import make_parser, positive_int, seed
from utils.errors import MisuseError, UserError, run
from utils.metric import lwlrap, per_class_lwlrap
from utils.predictions import Predictions, load_predictions, write_table
from utils.scores import describe, score_parts

Folds = dict[Path, Predictions]  # the folds of one training, by file
PER_FOLD = {"fold_num", "checkpoint_step"}  # arguments in which the folds of a run differ


def main() -> int:
    args = parse_args()
    corpus = read_corpus(get_data_path(args.dataset))
    runs = choose_runs(find_runs(args), args.run)
    for name, folds in runs.items():
        check_run(name, folds, corpus, args.allow_missing)
    if args.split == "val":
        fnames, probabilities = join_folds(runs, corpus, args.mean)
        print_cv(corpus, fnames, probabilities)
    else:
        fnames, probabilities = average_folds(runs, corpus, args.mean)
        print_test_scores(runs, corpus, probabilities)
    output = Path(args.output or ("oof.csv" if args.split == "val" else "submission.csv"))
    text = io.StringIO()
    write_table(text, fnames, corpus.class_names, probabilities)
    check_table(text.getvalue(), fnames, corpus.class_names)
    with atomic_write(output, "w") as file:
        file.write(text.getvalue())
    print(f"{output}: {len(fnames)} clips, {len(corpus.class_names)} classes")
    return 0


def find_runs(args: argparse.Namespace) -> dict[str, Folds]:
    """All folds on disk that the flags describe, by run, by what is inside the files."""
    wanted = {name: getattr(args, name) for name in ("dataset", "img_rows", "img_cols", "seed", "split")}
    runs: dict[str, Folds] = {}
    for path in sorted(Path(args.prediction_dir).glob(f"*_{args.dataset}_{args.split}_*.npz")):
        predictions = load_predictions(path)
        other = [name for name, value in wanted.items() if predictions.args.get(name) != value]
        if other:
            print(f"leaving out {path}: made with {other[0]} {predictions.args.get(other[0])}", file=sys.stderr)
            continue
        name = "{arch}_{sampling_rate}_{num_folds}".format(**predictions.args)
        runs.setdefault(name, {})[path] = predictions
    if not runs:
        flags = " ".join(f"--{name} {value}" for name, value in wanted.items())
        raise UserError(f"{args.prediction_dir} holds no predictions of {flags}; make them with test.py")
    return runs


def choose_runs(runs: dict[str, Folds], names: list[str] | None) -> dict[str, Folds]:
    """The runs to average; more than one only if the user names them."""
    if names is None and len(runs) > 1:
        raise MisuseError(
            f"there are predictions of {len(runs)} runs: say which to average with --run {' '.join(runs)}"
        )
    unknown = [name for name in names or [] if name not in runs]
    if unknown:
        raise MisuseError(f"--run {unknown[0]}: there are only {', '.join(runs)}")
    return {name: runs[name] for name in names or runs}


def check_run(name: str, folds: Folds, corpus: Corpus, allow_missing: bool) -> None:
    """Folds 0..k-1 once each, of the same training and prediction settings and the same classes."""
    (first_path, first), *others = folds.items()
    for path, fold in others:
        keys = [key for key in {**first.args, **fold.args} if key not in PER_FOLD]
        differing = [key for key in keys if fold.args.get(key) != first.args.get(key)]
        if differing:
            key = differing[0]
            raise UserError(
                f"{path} was made with {key} {fold.args.get(key)}, {first_path} with {first.args.get(key)}; "
                "predict them alike"
            )
    for path, fold in folds.items():
        odd = sorted(set(fold.class_names) ^ set(corpus.class_names))
        if odd:
            raise UserError(f"{path} was made with another class list than {first.args['dataset']} has: see {odd[0]}")
    numbers = [fold.args["fold_num"] for fold in folds.values()]
    doubled = [number for number in numbers if numbers.count(number) > 1]
    if doubled:
        paths = [str(path) for path, fold in folds.items() if fold.args["fold_num"] == doubled[0]]
        raise UserError(f"fold {doubled[0]} is there more than once: {', '.join(paths)}; delete all but one")
    missing = sorted(set(range(first.args["num_folds"])) - set(numbers))
    if missing:
        text = f"{name} lacks the predictions of fold {', '.join(map(str, missing))}"
        if not allow_missing:
            raise UserError(f"{text}; run test.py on them, or go on without with --allow_missing")
        print(f"{text}; going on without", file=sys.stderr)


def average_folds(runs: dict[str, Folds], corpus: Corpus, mean: str) -> tuple[list[str], np.ndarray]:
    """Mean over folds, then over runs, in the order of the sample submission."""
    fnames = corpus.subset("test").fnames
    tables = [average([align(path, p, fnames, corpus) for path, p in folds.items()], mean) for folds in runs.values()]
    return fnames, average(tables, mean)


def join_folds(runs: dict[str, Folds], corpus: Corpus, mean: str) -> tuple[list[str], np.ndarray]:
    """Each curated clip's probabilities from the fold that held it out, averaged over runs."""
    tables = [_held_out_rows(folds, corpus) for folds in runs.values()]
    fnames = [f for f in corpus.subset("train_curated").fnames if all(f in rows for rows in tables)]
    return fnames, average([np.stack([rows[f] for f in fnames]) for rows in tables], mean)


def _held_out_rows(folds: Folds, corpus: Corpus) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = {}
    curated = set(corpus.subset("train_curated").fnames)
    for path, fold in folds.items():
        unknown = [fname for fname in fold.fnames if fname not in curated]
        if unknown:
            raise UserError(f"{path} holds {unknown[0]}, which is no curated clip of the data set; predict it again")
        twice = [fname for fname in fold.fnames if fname in rows]
        if twice:
            raise UserError(f"{path} and another fold both held out {twice[0]}; they are of different splits")
        rows |= dict(zip(fold.fnames, fold.aligned(fold.fnames, corpus.class_names), strict=True))
    return rows


def align(path: Path, predictions: Predictions, fnames: list[str], corpus: Corpus) -> np.ndarray:
    surplus = sorted(set(predictions.fnames) ^ set(fnames))
    if surplus:
        raise UserError(f"{path} was made for other clips than the data set's test clips: see {surplus[0]}")
    return predictions.aligned(fnames, corpus.class_names)


def average(tables: list[np.ndarray], mean: str) -> np.ndarray:
    """Arithmetic or geometric mean of tables (N, C) of probabilities."""
    stack = np.stack(tables).astype(np.float64)
    return np.exp(np.log(stack.clip(1e-12)).mean(axis=0)) if mean == "geometric" else stack.mean(axis=0)


def check_table(text: str, fnames: list[str], class_names: list[str]) -> None:
    """Read the table as a judge will: every clip once in the data set's order, every class, all within 0 and 1."""
    table = pd.read_csv(io.StringIO(text), dtype={"fname": str}, keep_default_na=False)
    if list(table.columns) != ["fname", *class_names] or list(table.fname) != fnames:
        raise UserError("the merged table would not have the rows and columns of the sample submission")
    probabilities = table[class_names].apply(pd.to_numeric, errors="coerce").to_numpy()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN is neither
        raise UserError("the merged probabilities are not all within 0 and 1; predict the folds again")


def print_test_scores(runs: dict[str, Folds], corpus: Corpus, probabilities: np.ndarray) -> None:
    test = corpus.subset("test")
    if test.truth is None:
        return
    singles = []
    for name, folds in runs.items():
        for path, fold in folds.items():
            parts = score_parts(test, align(path, fold, test.fnames, corpus))
            singles.append(parts["overall"])
            print(f"{name} fold {fold.args['fold_num']}: lwlrap {describe(parts)}")
    guess = sum(
        corpus.subsets[name].truth.sum(axis=0) for name in ("train_curated", "train_noisy") if name in corpus.subsets
    )
    print(f"guess by label frequency: lwlrap {describe(score_parts(test, np.tile(guess, (len(test.fnames), 1))))}")
    print(f"mean of {len(singles)} folds: lwlrap overall {np.mean(singles):.4f}")
    print(f"merged: lwlrap {describe(score_parts(test, probabilities))}")


def print_cv(corpus: Corpus, fnames: list[str], probabilities: np.ndarray) -> None:
    truth = corpus.subset("train_curated").truth_of(fnames)
    values, _ = per_class_lwlrap(truth, probabilities)
    print("CV lwlrap per class, weakest first:")
    for i in np.argsort(values):
        if truth[:, i].any():
            print(f"  {values[i]:.3f}  {corpus.class_names[i]} ({truth[:, i].sum()} clips)")
    print(f"CV lwlrap {lwlrap(truth, probabilities):.4f} over {len(fnames)} clips")


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__.split("\n")[0], "python merge.py --dataset freesound --split test")
    what = parser.add_argument_group("which predictions")
    what.add_argument("--dataset", default="freesound", help="a name in config.json")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--seed", type=seed, default=1234, help="of the training")
    what.add_argument("--split", default="test", choices=["test", "val"], help="val: out-of-fold predictions")
    what.add_argument("--run", nargs="+", help="runs to average, ARCH_RATE_FOLDS, where there are several")
    what.add_argument("--prediction_dir", default="predictions", help="where test.py wrote them")
    how = parser.add_argument_group("how")
    how.add_argument("--mean", default="arithmetic", choices=["arithmetic", "geometric"], help="over folds and runs")
    how.add_argument("--allow_missing", action="store_true", help="go on though a fold is missing")
    how.add_argument("--output", help="the table to write; submission.csv, or oof.csv for --split val")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
