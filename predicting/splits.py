"""One split of a checkpoint: which clips it is, what its predictions are made from, and what they score."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from loaders import get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus
from loaders.pcen import audio_settings
from predicting.metrics import describe_test, lwlrap, metric_values
from predicting.prediction_file import Predictions, load_predictions
from utils.digests import ALL_LABELS, MadeFrom, changes, digest, tensors_digest
from utils.errors import UserError

SPLITS = {"val": "train_curated", "test": "test", "train_noisy": "train_noisy"}  # and the subset that each is of


def clips_of(split: str, corpus: Corpus, state: dict[str, Any]) -> list[str]:
    """The names of the clips of a split of a checkpoint; val: those that the fold held out."""
    fnames = corpus.subset(SPLITS[split]).fnames
    if split != "val":
        return fnames
    if gone := sorted(set(state["held_out"]) - set(fnames)):
        raise UserError(
            f"fold {state['args']['fold_num']} held out {gone[0]}, which is no curated clip any more; put it back, or "
            "train that fold again with --overwrite"
        )
    return state["held_out"]


def check_classes(path: str | Path, class_names: list[str], corpus: Corpus) -> None:
    """Raises UserError where a file has other classes than the data set; their order does not matter."""
    if odd := sorted(set(class_names) ^ set(corpus.class_names)):
        raise UserError(f"{path} has another class list than the data set: {odd[0]} is in one only")


def describe(path: str, state: dict[str, Any], split: str, fnames: list[str], **how: Any) -> dict[str, Any]:
    """The arguments of predictions: of the training, of test.py, and what the predictions are made from.

    path: of the checkpoint.  how: settings of the prediction.
    """
    trained = {"train_split": state["args"].get("split"), "labels": state["made_from"].get(ALL_LABELS, "")}
    presence = {name: tensor.tolist() for name, tensor in state["presence"].items()}
    args = state["args"] | trained | {"split": split, "model_path": path, "checkpoint_step": state["step"], **how}
    args["presence"] = presence
    return args | {"made_from": made_from(args, fnames)}


def made_from(args: dict[str, Any], fnames: list[str]) -> MadeFrom:
    """Digests of what predictions with these arguments are made from, as far as it is here."""
    found = {"the clips": digest(sorted(fnames))}
    if Path(args["model_path"]).exists():
        found["the checkpoint"] = tensors_digest(args["model_path"])
    folder = features_dir(get_features_path(args["dataset"]), audio_settings(args))
    if index := read_index(folder / f"{SPLITS[args['split']]}.json"):
        digests = {clip[0]: clip[3] for clip in index["clips"]}
        found["the features of the clips"] = digest(digests[fname] for fname in sorted(fnames) if fname in digests)
    return found


def refuse_outdated(path: Path, fold: Predictions) -> None:
    """Raises UserError, with the command that makes them anew, where what predictions were made from has changed."""
    before = fold.args.get("made_from")
    if not before or not (changed := changes(before, made_from(fold.args, fold.fnames))):
        return
    how = {name: fold.args[name] for name in ("model_path", "split", "tta", "tta_shift")}
    flags = "".join(f" --{name} {value}" for name, value in how.items())
    again = f"python test.py{flags} --prediction_dir {path.parent}"
    raise UserError(f"{path}: since it was made, {' and '.join(changed)} changed; predict again: {again}")


def is_up_to_date(path: Path, args: dict[str, Any]) -> bool:
    """Whether there are predictions with these arguments, made from the present files."""
    try:
        return path.with_suffix(".csv").exists() and load_predictions(path).args == json.loads(json.dumps(args))
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
        others = metric_values(truth, scores, corpus.metrics).items()
        more = "".join(f"  {metric} {value:.4f}" for metric, value in others)
        print(f"lwlrap of the held-out clips: {lwlrap(truth, scores):.4f}{more}")
    elif split == "test" and (line := describe_test(subset, scores, corpus.metrics)):
        print(line)
