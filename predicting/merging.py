"""Predictions of all folds of a run: found, checked, averaged or joined by name."""

import argparse
import os
import sys
from collections.abc import Iterable
from itertools import compress
from pathlib import Path

import numpy as np

from loaders.layouts import Corpus
from predicting.prediction_file import Predictions, load_predictions
from predicting.runs import check_folds, choose_runs, is_named_after, parse_name, run_name
from predicting.splits import SPLITS, check_classes, refuse_outdated
from utils.cli import positive_int, seed
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
    paths = "checkpoints, to take their predictions; without the flag: those that the four flags above describe"
    what.add_argument("--model_path", nargs="+", help=paths)
    folders = "where test.py wrote them; several are averaged"
    what.add_argument("--prediction_dir", nargs="+", default=["predictions"], help=folders)
    what.add_argument("--allow_missing", action="store_true", help="continue even if a fold is missing")
    return what


def read_runs(args: argparse.Namespace, splits: Iterable[str], corpus: Corpus, purpose: str) -> dict[str, Runs]:
    """The predictions that the flags describe, checked, by split; splits that not all runs have are left out.

    purpose: such as "average".  Raises MisuseError where a run must be chosen, UserError where there are no such
    predictions, where they do not belong together, and where they are out of date.
    """
    found = _find(args, list(splits))
    names = dict.fromkeys(name for runs in found.values() for name in runs)
    chosen = choose_runs(names, args.run or (list(names) if args.model_path else None), purpose)
    found = {split: {name: runs[name] for name in chosen} for split, runs in found.items() if {*chosen} <= {*runs}}
    if not found:
        raise UserError(f"no split was predicted with all of {', '.join(chosen)}; predict one with test.py")
    for runs in found.values():
        for name, folds in runs.items():
            check_folds(name, {path: fold.args for path, fold in folds.items()}, REMEDY, args.allow_missing)
        made = {path: fold for folds in runs.values() for path, fold in folds.items()}
        for path, fold in made.items():
            check_classes(path, fold.class_names, corpus)
            refuse_outdated(path, fold)
        listed = [] if args.allow_missing else args.model_path or []
        if without := [path for path in listed if not any(_is_of(path, fold) for fold in made.values())]:
            raise UserError(f"there are no predictions of {', '.join(without)}; {REMEDY}")
    return found


def _find(args: argparse.Namespace, splits: list[str]) -> dict[str, Runs]:
    """All predictions that the flags describe, by what is inside the files.  Raises UserError on a folder without."""
    names = ["dataset"] if args.model_path else ["dataset", "img_rows", "img_cols", "seed"]
    wanted = {name: value for name in names if (value := getattr(args, name)) is not None}
    found: dict[str, Runs] = {split: {} for split in splits}
    for folder in args.prediction_dir:
        prefix = f"{folder}/" if len(args.prediction_dir) > 1 else ""
        left_out, chosen = [], []
        for path in sorted(Path(folder).glob("*.npz")):
            name = parse_name(path)
            if name and (name.kind not in splits or not name.network.endswith(f"_{args.dataset}")):
                continue
            fold = load_predictions(path) if name else None
            own = fold and is_named_after(path, fold.args) and fold.args | wanted | {"split": name.kind} == fold.args
            if not own:
                left_out.append(path.name)
            elif not args.model_path or any(_is_of(checkpoint, fold) for checkpoint in args.model_path):
                chosen.append((fold.args["fold_num"], path, fold))
        for _, path, fold in sorted(chosen, key=lambda item: item[:2]):
            found[fold.args["split"]].setdefault(prefix + run_name(fold.args), {})[path] = fold
        if left_out:
            print(f"{folder}: left out {', '.join(left_out)}, which are copies or of other runs", file=sys.stderr)
        if not chosen:
            flags = "".join(f" --{name} {value}" for name, value in (wanted | {"split": " ".join(splits)}).items())
            flags += f" --model_path {' '.join(args.model_path)}" if args.model_path else ""
            raise UserError(f"{folder}: no predictions of{flags}; make them with test.py")
    return found


def _is_of(checkpoint: str, fold: Predictions) -> bool:
    """Whether predictions are of that checkpoint; by its name where one of the files is gone."""
    other = str(fold.args.get("model_path", ""))
    name = os.path.realpath if os.path.exists(checkpoint) and os.path.exists(other) else os.path.basename
    return name(checkpoint) == name(other)


def merge_folds(runs: Runs, corpus: Corpus, split: str) -> tuple[list[str], np.ndarray]:
    """The clips of a split in the order of the data set, and their probabilities (N, C), float64.

    The mean over the folds (of val: those of the fold that held the clip out), then over the runs.  Raises UserError
    where a fold is of other clips.
    """
    fnames = corpus.subset(SPLITS[split]).fnames
    means = np.mean([_mean_of_folds(folds, fnames, corpus, split) for folds in runs.values()], axis=0)
    predicted = ~np.isnan(means).any(axis=1)
    if not predicted.any():
        raise UserError(f"no clip of {split} was predicted by every run, so there is nothing to average; {REMEDY}")
    return list(compress(fnames, predicted)), means[predicted]


def _mean_of_folds(folds: Folds, fnames: list[str], corpus: Corpus, split: str) -> np.ndarray:
    """A run's probabilities (N, C), float64; NaN where val lacks the fold that held a clip out."""
    total, count = np.zeros((len(fnames), len(corpus.class_names))), np.zeros((len(fnames), 1))
    for path, fold in folds.items():
        rows = np.isin(fnames, fold.fnames) if split == "val" else np.ones(len(fnames), bool)
        total[rows] += align(path, fold, list(compress(fnames, rows)), corpus, split)
        count[rows] += 1
        if split == "val" and count.max() > 1:
            raise UserError(f"{path} and another fold both held out {fnames[count.argmax()]}; they are of other splits")
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def align(path: Path, predictions: Predictions, fnames: list[str], corpus: Corpus, split: str = "test") -> np.ndarray:
    """A fold's probabilities (N, C) of exactly these clips, by name.  Raises UserError if it holds others."""
    if odd := sorted(set(predictions.fnames) ^ set(fnames)):
        raise UserError(f"{path} was made for other clips than the data set's {split} clips: see {odd[0]}")
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
