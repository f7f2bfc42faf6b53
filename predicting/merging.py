"""Predictions of all folds of a run: found, checked, averaged or joined by name."""

import argparse
import glob
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from loaders import get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus
from loaders.pcen import audio_settings
from predicting.prediction_file import Predictions, load_predictions
from predicting.runs import FOLD_KEYS, check_folds, choose_runs, run_name
from predicting.splits import SPLITS, check_classes
from utils.cli import positive_int, seed
from utils.digests import MadeFrom, changes, digest, tensors_digest
from utils.errors import UserError

Folds = dict[Path, Predictions]  # the folds of one training in their order, by file
Runs = dict[str, Folds]  # by name, ARCH_RATE_FOLDS; where there are several folders, the name begins with the folder
REMEDY = "run test.py on them, or go on without with --allow_missing"


def add_run_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The flags that read_runs reads; the group that they are in."""
    what = parser.add_argument_group("which predictions")
    what.add_argument("--dataset", default="freesound", help="a name in config.json")
    what.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    what.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop")
    what.add_argument("--seed", type=seed, help="seed of the training; without the flag: any")
    what.add_argument("--run", nargs="+", help="runs to average, as ARCH_RATE_FOLDS; needed if there are several")
    what.add_argument(
        "--model_path",
        nargs="+",
        help="checkpoints, to take their predictions; without the flag: those that the four flags above describe",
    )
    what.add_argument(
        "--prediction_dir",
        nargs="+",
        default=["predictions"],
        help="where test.py wrote them; several are averaged",
    )
    what.add_argument("--allow_missing", action="store_true", help="continue even if a fold is missing")
    return what


def read_runs(args: argparse.Namespace, splits: Iterable[str], corpus: Corpus, purpose: str) -> dict[str, Runs]:
    """The predictions that the flags describe, checked, by split; splits that not all runs have are left out.

    purpose: such as "average".  Raises MisuseError where a run must be chosen, UserError where there are no such
    predictions, where they do not belong together, and where they are out of date.
    """
    found = {split: _find(args, split) for split in splits}
    names = list(dict.fromkeys(name for runs in found.values() for name in runs))
    if not names:
        flags = " ".join(f"--{name} {value}" for name, value in _wanted(args, next(iter(found))).items())
        flags += f" --model_path {' '.join(args.model_path)}" if args.model_path else ""
        raise UserError(f"{' and '.join(args.prediction_dir)}: no predictions of {flags}; make them with test.py")
    for folder in args.prediction_dir if len(args.prediction_dir) > 1 else []:
        if folder not in [name.rpartition("/")[0] for name in names]:
            raise UserError(
                f"--prediction_dir {folder}: there are no such predictions in it; leave it out, or make them"
            )
    chosen = choose_runs(names, args.run or (names if args.model_path else None), purpose)
    if others := [name for name in names if name not in chosen]:
        print(f"not averaged: {', '.join(others)}; --run takes several runs")
    found = {split: {name: runs[name] for name in chosen if name in runs} for split, runs in found.items()}
    found = {split: runs for split, runs in found.items() if len(runs) == len(chosen)}
    if not found:
        raise UserError(f"no split was predicted with all of {', '.join(chosen)}; predict one with test.py")
    for runs in found.values():
        for name, folds in runs.items():
            _check_run(name, folds, corpus, args.allow_missing)
        _check_checkpoints(args, runs)
    return found


def _find(args: argparse.Namespace, split: str) -> Runs:
    """All predictions of the split that the flags describe, by what is inside the files."""
    wanted, runs = _wanted(args, split), {}
    for folder in args.prediction_dir:
        for path in sorted(Path(folder).glob(f"*_{glob.escape(args.dataset)}_{split}_*.npz")):
            predictions = load_predictions(path)
            made = predictions.args
            if args.model_path and not any(_is_same(checkpoint, made) for checkpoint in args.model_path):
                continue
            if other := [name for name, value in wanted.items() if made.get(name) != value]:
                print(f"leaving out {path}: made with {other[0]} {made.get(other[0])}", file=sys.stderr)
                continue
            if wrong := [key for key, kind in FOLD_KEYS.items() if type(made.get(key)) is not kind]:
                raise UserError(f"{path} holds no valid {wrong[0]}; predict that fold again")
            prefix = f"{folder}/" if len(args.prediction_dir) > 1 else ""
            runs.setdefault(prefix + run_name(made), {})[path] = predictions
    return {name: dict(sorted(folds.items(), key=_fold_num)) for name, folds in runs.items()}


def _fold_num(item: tuple[Path, Predictions]) -> int:
    return item[1].args["fold_num"]


def _wanted(args: argparse.Namespace, split: str) -> dict[str, object]:
    """The arguments that predictions must have been made with."""
    names = ["dataset"] if args.model_path else ["dataset", "img_rows", "img_cols", "seed"]
    wanted = {name: getattr(args, name) for name in names} | {"split": split}
    return {name: value for name, value in wanted.items() if value is not None}


def _is_same(checkpoint: str, made: dict[str, Any]) -> bool:
    """Whether predictions with these arguments are of that checkpoint; by its name where one of the files is gone."""
    other = str(made.get("model_path", ""))
    if os.path.exists(checkpoint) and os.path.exists(other):
        return os.path.realpath(checkpoint) == os.path.realpath(other)
    return os.path.basename(checkpoint) == os.path.basename(other)


def _check_run(name: str, folds: Folds, corpus: Corpus, allow_missing: bool) -> None:
    """Folds 0..k-1 once each, of the same training and prediction settings and the same classes."""
    check_folds(name, {path: fold.args for path, fold in folds.items()}, REMEDY, allow_missing)
    for path, fold in folds.items():
        check_classes(path, fold.class_names, corpus)
        if changed := changed_since(fold):
            again = f"python test.py --model_path {fold.args['model_path']} --split {fold.args['split']}"
            raise UserError(f"{path}: since it was made, {' and '.join(changed)} changed; predict again: {again}")


def _check_checkpoints(args: argparse.Namespace, runs: Runs) -> None:
    """Raises UserError on a checkpoint of --model_path without predictions: the only one of its run that is listed."""
    made = [fold.args for folds in runs.values() for fold in folds.values()]
    without = [path for path in args.model_path or [] if not any(_is_same(path, each) for each in made)]
    if without and not args.allow_missing:
        raise UserError(f"there are no predictions of {', '.join(without)}; {REMEDY}")


def changed_since(fold: Predictions) -> list[str]:
    """What has changed since the predictions were made, as far as it can be seen here."""
    args, before = fold.args, fold.args.get("made_from", {})
    now: MadeFrom = {}
    if before and Path(args["model_path"]).exists():
        now["the checkpoint"] = tensors_digest(args["model_path"])
    if before:
        folder = features_dir(get_features_path(args["dataset"]), audio_settings(args))
        index = read_index(folder / f"{SPLITS[args['split']]}.json")
        if index is not None:
            digests = {clip[0]: clip[3] for clip in index["clips"]}
            now["the features of the clips"] = digest(digests[fname] for fname in fold.fnames if fname in digests)
    return changes(before, now)


def merge_folds(runs: Runs, corpus: Corpus, split: str) -> tuple[list[str], np.ndarray]:
    """The clips of a split in the order of the data set, and their probabilities (N, C): the mean over the folds (of
    val: those of the fold that held the clip out), then over the runs.  Raises UserError where they are none."""
    fnames, probabilities = _join(runs, corpus) if split == "val" else _average(runs, corpus, split)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN is neither
        raise UserError(f"the probabilities of {split} are not all within 0 and 1; predict the folds again")
    return fnames, probabilities


def _average(runs: Runs, corpus: Corpus, split: str) -> tuple[list[str], np.ndarray]:
    fnames = corpus.subset(split).fnames
    tables = [
        np.mean([align(path, fold, fnames, corpus, split) for path, fold in folds.items()], axis=0, dtype=np.float64)
        for folds in runs.values()
    ]
    return fnames, np.mean(tables, axis=0)


def _join(runs: Runs, corpus: Corpus) -> tuple[list[str], np.ndarray]:
    tables = [_held_out_rows(folds, corpus) for folds in runs.values()]
    fnames = [f for f in corpus.subset("train_curated").fnames if all(f in rows for rows in tables)]
    return fnames, np.mean([[rows[f] for f in fnames] for rows in tables], axis=0, dtype=np.float64)


def _held_out_rows(folds: Folds, corpus: Corpus) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = {}
    curated = set(corpus.subset("train_curated").fnames)
    for path, fold in folds.items():
        if unknown := [fname for fname in fold.fnames if fname not in curated]:
            raise UserError(f"{path} holds {unknown[0]}, which is no curated clip; train that fold again")
        if twice := [fname for fname in fold.fnames if fname in rows]:
            raise UserError(f"{path} and another fold both held out {twice[0]}; they are of different splits")
        rows |= dict(zip(fold.fnames, fold.aligned(fold.fnames, corpus.class_names), strict=True))
    return rows


def align(path: Path, predictions: Predictions, fnames: list[str], corpus: Corpus, split: str = "test") -> np.ndarray:
    """A fold's probabilities (N, C) of exactly these clips, by name.  Raises UserError if it holds others."""
    surplus = sorted(set(predictions.fnames) ^ set(fnames))
    if surplus:
        raise UserError(f"{path} was made for other clips than the data set's {split} clips: see {surplus[0]}")
    return predictions.aligned(fnames, corpus.class_names)


def balance(probabilities: np.ndarray) -> np.ndarray:
    """Scores (N, C) in [0, 1], for ranking: each class's probabilities by the root of their mean over the clips.

    On a logarithmic scale that moves each class half the way from its mean to one that all classes share.  The whole
    way (Saerens et al. 2002, one iteration towards equal priors) gains no more where classes are equally frequent, and
    loses more where they are not (docs/results.md, Merging).
    """
    means = probabilities.mean(axis=0, dtype=np.float64)  # (C,)
    scores = probabilities / np.sqrt(np.maximum(means, np.finfo(np.float64).tiny))
    return scores / max(scores.max(initial=0.0), 1.0)


def guess_by_frequency(corpus: Corpus) -> np.ndarray:
    """How often each class is given in training (C,): the ranking of a network that ignores the sound."""
    subsets = [corpus.subsets[name] for name in ("train_curated", "train_noisy") if name in corpus.subsets]
    return sum(subset.truth.sum(axis=0) for subset in subsets)
