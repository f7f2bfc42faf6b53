"""What one run, or several averaged, left on disk: predictions of each split, logs of each fold, versions."""

import argparse
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from loaders.layouts import Corpus
from predicting.merging import Runs, merge_folds, read_runs
from predicting.metrics import calibrated
from predicting.prediction_file import Predictions
from predicting.runs import check_alike, log_path
from predicting.splits import SPLITS
from utils.digests import changes, tensors_digest
from utils.errors import UserError

PER_SPLIT = {"split", "tta", "tta_shift", "precision", "model_path", "made_from"}  # may differ between a fold's splits
LOGGED = ("step", "learning_rate", "train_loss", "lwlrap")


@dataclass(frozen=True)
class Results:
    """What the sections are made from.  A split that was not predicted is absent from runs and tables."""

    corpus: Corpus
    runs: dict[str, Runs]
    tables: dict[str, tuple[list[str], np.ndarray]]  # clips, probabilities (N, C)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # fold's name -> a record per validation
    trained_with: dict[str, str] = field(default_factory=dict)  # versions

    @property
    def any_runs(self) -> Runs:
        """The runs as one of the splits has them; their training is the same in all."""
        return next(iter(self.runs.values()))

    def folds(self, split: str) -> Iterator[tuple[str, Path, Predictions]]:
        """What the page calls a fold, its file, and its predictions of the split; none of a split that is absent."""
        for run, folds in self.runs.get(split, {}).items():
            for path, fold in folds.items():
                name = f"fold {fold.args['fold_num']}"
                yield name if len(self.any_runs) == 1 else f"{run} {name}", path, fold

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels and out-of-fold probabilities of the curated clips, both (N, C)."""
        fnames, probabilities = self.tables["val"]
        return self.corpus.subset("train_curated").truth_of(fnames), probabilities

    def calibrated(self) -> tuple[np.ndarray, np.ndarray] | None:
        """As held_out, after each network's own calibration; None where a network has none."""
        if not all(fold.args.get("presence") for _, _, fold in self.folds("val")):
            return None
        runs = {run: {path: calibrate(fold) for path, fold in folds.items()} for run, folds in self.runs["val"].items()}
        fnames, probabilities = merge_folds(runs, self.corpus, "val")
        return self.corpus.subset("train_curated").truth_of(fnames), probabilities


def read_results(args: argparse.Namespace, corpus: Corpus) -> Results:
    """Read all that the chosen runs left.  Raises UserError if there is nothing, or if files do not belong together."""
    splits = [split for split, subset in SPLITS.items() if subset in corpus.subsets]
    runs = read_runs(args, splits, corpus, "report on")
    results = Results(corpus, runs, {split: merge_folds(own, corpus, split) for split, own in runs.items()})
    _check_one_training(results)
    _read_training(results, args.checkpoint_dir)
    return results


def _check_one_training(results: Results) -> None:
    """Refuse a fold whose splits were predicted with different checkpoints: the page would mix two networks."""
    args_of: dict[str, dict[Path, dict[str, Any]]] = {}
    for name, path, fold in (each for split in results.runs for each in results.folds(split)):
        args_of.setdefault(name, {})[path] = fold.args
    for of_a_fold in args_of.values():
        check_alike(of_a_fold, but=PER_SPLIT)


def calibrate(fold: Predictions) -> Predictions:
    """With the probabilities that the network's own calibration makes of its scores."""
    slope, offsets = (fold.args["presence"][name] for name in ("slope", "offsets"))
    return replace(fold, probabilities=calibrated(fold.probabilities, slope, offsets))


def _read_training(results: Results, checkpoint_dir: str | None) -> None:
    for name, _, fold in results.folds(next(iter(results.runs))):
        predicted_by = Path(str(fold.args.get("model_path", "")))
        folder = Path(checkpoint_dir or predicted_by.parent)
        checkpoint, made_from = folder / predicted_by.name, fold.args.get("made_from", {})
        if checkpoint.is_file() and changes(made_from, {"the checkpoint": tensors_digest(checkpoint)}):
            print(f"leaving out the log of {checkpoint}: it did not make these predictions")
            continue
        if log := _read_log(log_path(argparse.Namespace(**(fold.args | {"checkpoint_dir": folder})))):
            results.logs[name] = log
        if not results.trained_with and checkpoint.is_file():
            from predicting.checkpoint import load_checkpoint  # torch, two seconds that the rest does not need

            results.trained_with.update(load_checkpoint(checkpoint)["versions"])


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a fold's log, none where it is absent."""
    with suppress(ValueError, TypeError, KeyError, OverflowError):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines]
        if all(math.isfinite(record[key]) for record in records for key in LOGGED):
            return records
    raise UserError(f"{path} is not a log of train.py; delete it or train that fold again")
