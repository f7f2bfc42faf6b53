"""Which noisily labelled clips to train on: those whose labels a first network, trained without them, ranks high."""

import argparse

from loaders import get_data_path
from loaders.layouts import read_corpus
from predicting.metrics import clip_lwlrap
from predicting.prediction_file import load_predictions
from predicting.runs import prediction_path
from predicting.splits import refuse_outdated
from utils.errors import UserError

HELD_OUT_BY = ("dataset", "fold_num", "num_folds", "fold_split", "seed")  # if they differ, so do the held-out clips


def believable_clips(args: argparse.Namespace) -> set[str]:
    """File names of the noisy clips whose labels the first network of this fold ranks with args.noisy_precision.

    The precision is a clip's own lwlrap: 1 if its labels come before all others, 1/2 if its one label comes second.
    Raises UserError if the predictions in the folder args.noisy_scores are not there, are out of date, lack a clip, or
    are of a network trained on other clips than this fold's.
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
    refuse_outdated(path, scores)
    corpus = read_corpus(get_data_path(args.dataset))
    noisy = corpus.subset("train_noisy")
    try:
        precisions = clip_lwlrap(noisy.truth, scores.aligned(noisy.fnames, corpus.class_names))
    except KeyError as error:
        raise UserError(f"the noisy scores lack {error.args[0]}; predict the noisy clips again") from None
    return {fname for fname, p in zip(noisy.fnames, precisions, strict=True) if p >= args.noisy_precision}
