"""Which noisily labelled clips to train on: those whose labels a first network, trained without them, ranks high."""

import argparse

import numpy as np

from loaders import get_data_path
from loaders.layouts import read_corpus
from predicting.metrics import clip_lwlrap
from predicting.paths import prediction_path
from predicting.prediction_file import Predictions, load_predictions
from predicting.splits import changed_since, how_to_predict
from utils.errors import UserError

HELD_OUT_BY = ("dataset", "fold_num", "num_folds", "fold_split", "seed")  # if they differ, so do the held-out clips


def believable_clips(args: argparse.Namespace) -> set[str]:
    """File names of the noisy clips whose labels the first network of this fold ranks with args.noisy_precision.

    Raises UserError as load_noisy_scores and believable do.
    """
    corpus = read_corpus(get_data_path(args.dataset))
    noisy = corpus.subset("train_noisy")
    rows = believable(load_noisy_scores(args), noisy.fnames, corpus.class_names, noisy.truth, args.noisy_precision)
    return {noisy.fnames[i] for i in rows}


def load_noisy_scores(args: argparse.Namespace) -> Predictions:
    """What this fold's first network thinks of the noisy clips, from the folder args.noisy_scores.

    Raises UserError if it is not there, is out of date, or is of a network trained on other clips than this fold's.
    """
    path, folder = prediction_path(args, args.noisy_scores, "train_noisy"), args.noisy_scores
    remedy = "train with --split train_curated --checkpoint_dir FIRST, then test.py --split train_noisy"
    remedy += f" --prediction_dir {folder}"
    if not path.exists():
        raise UserError(f"--noisy_scores {folder}: there is no {path}; {remedy}")
    scores = load_predictions(path)
    wanted = {name: getattr(args, name) for name in HELD_OUT_BY}
    for name, value in (wanted | {"train_split": "train_curated", "split": "train_noisy"}).items():
        if scores.args.get(name) != value:
            raise UserError(f"{path} was made with {name} {scores.args.get(name)}, not {value}; {remedy}")
    if changed := changed_since(scores):
        problem = f"since it was made, {' and '.join(changed)} changed"
        raise UserError(f"{path}: {problem}; predict again: {how_to_predict(path, scores)}")
    return scores


def believable(
    scores: Predictions, fnames: list[str], class_names: list[str], truth: np.ndarray, least: float
) -> np.ndarray:
    """Indices of the clips whose labels are ranked with a precision of at least `least`, in rising order.

    scores: of these clips and classes, in any order.  truth: (N, C) bool.
    The precision is a clip's own lwlrap: 1 if its labels come before all others, 1/2 if its one label comes second.
    Raises UserError on a clip or a class without scores.
    """
    try:
        return np.flatnonzero(clip_lwlrap(truth, scores.aligned(fnames, class_names)) >= least)
    except KeyError as error:
        raise UserError(f"the noisy scores lack {error.args[0]}; predict the noisy clips again") from None
