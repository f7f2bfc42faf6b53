"""Predictions of all folds of a run: found by what is inside the files, checked, averaged or joined by name."""

import argparse
import glob
import sys
from pathlib import Path

import numpy as np

from loaders.layouts import Corpus
from utils.errors import MisuseError, UserError
from utils.predictions import Predictions, load_predictions

Folds = dict[Path, Predictions]  # the folds of one training, by file
Runs = dict[str, Folds]  # by name, ARCH_RATE_FOLDS
TOLD = {"arch": str, "sampling_rate": int, "num_folds": int, "fold_num": int}  # which fold of which run it is
PER_FOLD = {"fold_num", "checkpoint_step"}  # arguments in which the folds of a run differ


def find_runs(args: argparse.Namespace, split: str) -> Runs:
    """All predictions of the split on disk that the flags describe, by run, by what is inside the files."""
    wanted = _wanted(args, split)
    runs: Runs = {}
    for path in sorted(Path(args.prediction_dir).glob(f"*_{glob.escape(args.dataset)}_{split}_*.npz")):
        predictions = load_predictions(path)
        other = [name for name, value in wanted.items() if predictions.args.get(name) != value]
        if other:
            print(f"leaving out {path}: made with {other[0]} {predictions.args.get(other[0])}", file=sys.stderr)
            continue
        if wrong := [key for key, kind in TOLD.items() if type(predictions.args.get(key)) is not kind]:
            raise UserError(f"{path} holds no valid {wrong[0]}; predict that fold again")
        name = "{arch}_{sampling_rate}_{num_folds}".format(**predictions.args)
        runs.setdefault(name, {})[path] = predictions
    return runs


def no_predictions(args: argparse.Namespace, split: str) -> UserError:
    """What to tell where find_runs has found nothing."""
    flags = " ".join(f"--{name} {value}" for name, value in _wanted(args, split).items())
    return UserError(f"{args.prediction_dir} holds no predictions of {flags}; make them with test.py")


def _wanted(args: argparse.Namespace, split: str) -> dict[str, object]:
    return {name: getattr(args, name) for name in ("dataset", "img_rows", "img_cols", "seed")} | {"split": split}


def choose_runs(runs: Runs, names: list[str] | None) -> Runs:
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


def average_folds(runs: Runs, corpus: Corpus, mean: str, split: str = "test") -> tuple[list[str], np.ndarray]:
    """Mean over folds, then over runs, in the order of the sample submission or of train_noisy.csv."""
    fnames = corpus.subset(split).fnames
    tables = [
        average([align(path, fold, fnames, corpus, split) for path, fold in folds.items()], mean)
        for folds in runs.values()
    ]
    return fnames, average(tables, mean)


def join_folds(runs: Runs, corpus: Corpus, mean: str) -> tuple[list[str], np.ndarray]:
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


def align(path: Path, predictions: Predictions, fnames: list[str], corpus: Corpus, split: str = "test") -> np.ndarray:
    """A fold's probabilities (N, C) of exactly these clips, by name.  Raises UserError if it holds others."""
    surplus = sorted(set(predictions.fnames) ^ set(fnames))
    if surplus:
        raise UserError(f"{path} was made for other clips than the data set's {split} clips: see {surplus[0]}")
    return predictions.aligned(fnames, corpus.class_names)


def average(tables: list[np.ndarray], mean: str) -> np.ndarray:
    """Arithmetic or geometric mean of tables (N, C) of probabilities."""
    stack = np.stack(tables).astype(np.float64)
    return np.exp(np.log(stack.clip(1e-12)).mean(axis=0)) if mean == "geometric" else stack.mean(axis=0)


def guess_by_frequency(corpus: Corpus) -> np.ndarray:
    """How often each class is given in training (C,): what a network that hears nothing would rank by."""
    subsets = [corpus.subsets[name] for name in ("train_curated", "train_noisy") if name in corpus.subsets]
    return sum(subset.truth.sum(axis=0) for subset in subsets)
