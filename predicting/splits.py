"""One split of a checkpoint: which clips it is, what its predictions are made from, and what they score."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from loaders.layouts import Corpus
from predicting.metrics import lwlrap
from predicting.prediction_file import Predictions, load_predictions
from predicting.scores import describe_test, further
from utils.digests import ALL_LABELS, digest, tensors_digest
from utils.errors import UserError

SPLITS = {"val": "train_curated", "test": "test", "train_noisy": "train_noisy"}  # and the subset that each is of


def clips_of(split: str, corpus: Corpus, state: dict[str, Any]) -> tuple[str, list[str]]:
    """The subset that a split of a checkpoint is of, and the names of its clips; val: those that the fold held out."""
    subset = SPLITS[split]
    fnames = corpus.subset(subset).fnames
    if split != "val":
        return subset, fnames
    if gone := sorted(set(state["held_out"]) - set(fnames)):
        raise UserError(
            f"fold {state['args']['fold_num']} held out {gone[0]}, which is no curated clip any more; put it back, or "
            "train that fold again with --overwrite"
        )
    return subset, state["held_out"]


def check_classes(path: str | Path, class_names: list[str], corpus: Corpus) -> None:
    """Raises UserError where a file has other classes than the data set; their order does not matter."""
    if odd := sorted(set(class_names) ^ set(corpus.class_names)):
        raise UserError(f"{path} has another class list than the data set: {odd[0]} is in one only")


def describe(
    args: argparse.Namespace, state: dict[str, Any], split: str, fnames: list[str], digests: Iterable[str], **how: Any
) -> dict[str, Any]:
    """The arguments of predictions: of the training, of test.py, and what the predictions are made from.

    digests: of the features of the clips that can be used.  how: further settings of the prediction.
    """
    return state["args"] | {
        "train_split": state["args"].get("split"),
        "checkpoint_step": state["step"],
        "tta": args.tta,
        "split": split,
        "model_path": args.model_path,
        "labels": state["made_from"].get(ALL_LABELS, ""),
        "made_from": {
            "the checkpoint": tensors_digest(args.model_path),
            "the clips": digest(fnames),
            "the features of the clips": digest(digests),
        },
        **how,
    }


def is_up_to_date(path: Path, args: dict[str, Any]) -> bool:
    """Whether there are predictions with these arguments, made from the present files."""
    if not path.exists() or not path.with_suffix(".csv").exists():
        return False
    try:
        return load_predictions(path).args == json.loads(json.dumps(args))
    except UserError:
        return False


def fill_in(fnames: list[str], scored: list[str], probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """A row for every clip (N, C): those that cannot be used get each class's share of the training targets (C,)."""
    rows = dict(zip(scored, probabilities, strict=True))
    for fname in fnames:
        if fname not in rows:
            print(f"{fname} cannot be used; its row is the mean of the training labels", file=sys.stderr)
    return np.stack([rows.get(fname, prior) for fname in fnames]).astype(np.float32)


def print_score(split: str, corpus: Corpus, predictions: Predictions) -> None:
    """A line with the score of the predictions, where the answers are known and were not trained on."""
    scores = predictions.aligned(predictions.fnames, corpus.class_names)
    subset = corpus.subset(SPLITS[split])
    if split == "val":
        truth = subset.truth_of(predictions.fnames)
        others = further(truth, scores, corpus.metrics)
        more = "".join(f"  {metric} {value:.4f}" for metric, value in others.items())
        print(f"lwlrap of the held-out clips: {lwlrap(truth, scores):.4f}{more}")
    elif split == "test" and (line := describe_test(subset, scores, corpus.metrics)):
        print(line)
