"""Predictions of all folds of a run: found, checked, averaged or joined by name."""

import argparse
import glob
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loaders import get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus
from loaders.pcen import AudioSettings
from predicting.prediction_file import Predictions, load_predictions
from predicting.runs import FOLD_KEYS, check_folds, run_name
from utils.cli import positive_int, seed
from utils.digests import MadeFrom, changes, digest, tensors_digest
from utils.errors import UserError

Folds = dict[Path, Predictions]  # the folds of one training, by file
Runs = dict[str, Folds]  # by name, ARCH_RATE_FOLDS


def add_run_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The flags that find_predictions and choose_runs read; the group that they are in."""
    what = parser.add_argument_group("which predictions")
    what.add_argument("--dataset", default="freesound", help="a name in config.json")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--seed", type=seed, help="seed of the training; without the flag: any")
    what.add_argument("--run", nargs="+", help="runs to average, as ARCH_RATE_FOLDS; needed if there are several")
    what.add_argument(
        "--prediction_dir",
        nargs="+",
        default=["predictions"],
        help="where test.py wrote them; several are averaged",
    )
    what.add_argument("--allow_missing", action="store_true", help="continue even if a fold is missing")
    return what


def find_predictions(args: argparse.Namespace, split: str) -> Runs:
    """All predictions of the split that the flags describe, by run, by what is inside the files.

    args.prediction_dir: folders; where there are several, a run's name begins with its folder's.
    """
    wanted = _wanted(args, split)
    runs: Runs = {}
    pattern = f"*_{glob.escape(args.dataset)}_{split}_*.npz"
    for folder in args.prediction_dir:
        for path in sorted(Path(folder).glob(pattern)):
            predictions = load_predictions(path)
            other = [name for name, value in wanted.items() if predictions.args.get(name) != value]
            if other:
                print(f"leaving out {path}: made with {other[0]} {predictions.args.get(other[0])}", file=sys.stderr)
                continue
            if wrong := [key for key, kind in FOLD_KEYS.items() if type(predictions.args.get(key)) is not kind]:
                raise UserError(f"{path} holds no valid {wrong[0]}; predict that fold again")
            prefix = f"{folder}/" if len(args.prediction_dir) > 1 else ""
            runs.setdefault(prefix + run_name(predictions.args), {})[path] = predictions
    return runs


def refuse_empty_folders(args: argparse.Namespace, names: Iterable[str]) -> None:
    """Raises UserError if one of several folders gave none of the runs of these names."""
    folders = {name.rpartition("/")[0] for name in names}
    for folder in args.prediction_dir if len(args.prediction_dir) > 1 else []:
        if folder not in folders:
            raise UserError(
                f"--prediction_dir {folder}: there are no such predictions in it; leave it out, or make them"
            )


def no_predictions(args: argparse.Namespace, split: str) -> UserError:
    """The error for when find_predictions finds nothing."""
    flags = " ".join(f"--{name} {value}" for name, value in _wanted(args, split).items())
    return UserError(f"{' and '.join(args.prediction_dir)}: no predictions of {flags}; make them with test.py")


def _wanted(args: argparse.Namespace, split: str) -> dict[str, object]:
    wanted = {name: getattr(args, name) for name in ("dataset", "img_rows", "img_cols", "seed")} | {"split": split}
    return {name: value for name, value in wanted.items() if value is not None}


def check_run(name: str, folds: Folds, corpus: Corpus, allow_missing: bool) -> None:
    """Folds 0..k-1 once each, of the same training and prediction settings and the same classes."""
    remedy = "run test.py on them, or go on without with --allow_missing"
    check_folds(name, {path: fold.args for path, fold in folds.items()}, remedy, allow_missing)
    for path, fold in folds.items():
        odd = sorted(set(fold.class_names) ^ set(corpus.class_names))
        if odd:
            raise UserError(f"{path} was made with another class list than the data set has: {odd[0]} is in one only")
        if changed := changed_since(fold):
            again = f"python test.py --model_path {fold.args['model_path']} --split {fold.args['split']}"
            raise UserError(f"{path}: since it was made, {' and '.join(changed)} changed; predict again: {again}")


def changed_since(fold: Predictions) -> list[str]:
    """What has changed since the predictions were made, as far as it can be seen here."""
    args, before = fold.args, fold.args.get("made_from", {})
    now: MadeFrom = {}
    if before and Path(args["model_path"]).exists():
        now["the checkpoint"] = tensors_digest(args["model_path"])
    if before:
        subset = "train_curated" if args["split"] == "val" else args["split"]
        settings = AudioSettings(args["sampling_rate"], args["img_rows"])
        index = read_index(features_dir(get_features_path(args["dataset"]), settings) / f"{subset}.json")
        if index is not None:
            digests = {clip[0]: clip[3] for clip in index["clips"]}
            now["the features of the clips"] = digest(digests[fname] for fname in fold.fnames if fname in digests)
    return changes(before, now)


def average_folds(runs: Runs, corpus: Corpus, split: str = "test") -> tuple[list[str], np.ndarray]:
    """Mean over folds, then over runs, in the order of the sample submission or of train_noisy.csv."""
    fnames = corpus.subset(split).fnames
    tables = [
        np.mean([align(path, fold, fnames, corpus, split) for path, fold in folds.items()], axis=0, dtype=np.float64)
        for folds in runs.values()
    ]
    return fnames, np.mean(tables, axis=0)


def balance(probabilities: np.ndarray) -> np.ndarray:
    """Scores (N, C) in [0, 1], for ranking: each class's probabilities by the root of their mean over the clips.

    On a logarithmic scale that moves each class half the way from its mean to one that all classes share.  The whole
    way (Saerens et al. 2002, one iteration towards equal priors) gains no more where classes are equally frequent, and
    loses more where they are not (docs/results.md, Merging).
    """
    means = probabilities.mean(axis=0, dtype=np.float64)  # (C,)
    scores = probabilities / np.sqrt(np.maximum(means, np.finfo(np.float64).tiny))
    return scores / max(scores.max(initial=0.0), 1.0)


def join_folds(runs: Runs, corpus: Corpus) -> tuple[list[str], np.ndarray]:
    """Each curated clip's probabilities from the fold that held it out, averaged over runs."""
    tables = [_held_out_rows(folds, corpus) for folds in runs.values()]
    fnames = [f for f in corpus.subset("train_curated").fnames if all(f in rows for rows in tables)]
    return fnames, np.mean([[rows[f] for f in fnames] for rows in tables], axis=0, dtype=np.float64)


def _held_out_rows(folds: Folds, corpus: Corpus) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = {}
    curated = set(corpus.subset("train_curated").fnames)
    for path, fold in folds.items():
        unknown = [fname for fname in fold.fnames if fname not in curated]
        if unknown:
            raise UserError(
                f"{path} holds {unknown[0]}, which is no curated clip of the data set; train that fold again"
            )
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


def guess_by_frequency(corpus: Corpus) -> np.ndarray:
    """How often each class is given in training (C,): the ranking of a network that ignores the sound."""
    subsets = [corpus.subsets[name] for name in ("train_curated", "train_noisy") if name in corpus.subsets]
    return sum(subset.truth.sum(axis=0) for subset in subsets)
