"""Which noisy clips are believed, and whose word is taken for it."""

import numpy as np
import pytest

from loaders import get_data_path
from loaders.layouts import read_corpus
from predicting.prediction_file import Predictions, save_predictions
from predicting.runs import prediction_path
from training.selection import believable_clips
from utils.errors import UserError


@pytest.fixture
def believe(make_args, tmp_path):
    """The clips that are believed by scores in which clip i's first label comes at place 1 + i % 4; fewer if `n` is."""

    def call(least: float = 0.5, n: int = 8, **changes: object) -> list[str]:
        args = make_args(noisy_scores=str(tmp_path / "scores"), fold_num=1, noisy_precision=least)
        corpus = read_corpus(get_data_path("tiny"))
        noisy = corpus.subset("train_noisy")
        table = np.array([np.roll([0.9, 0.7, 0.5, 0.3], row.argmax() - i % 4) for i, row in enumerate(noisy.truth)])
        made = {name: getattr(args, name) for name in ("dataset", "arch", "sampling_rate", "fold_num", "num_folds",
                                                       "fold_split", "seed")}  # fmt: skip
        made |= {"train_split": "train_curated", "split": "train_noisy"} | changes
        order = np.random.default_rng(0).permutation(4)  # of the columns, which are taken by name
        names = [corpus.class_names[i] for i in order]
        scores = Predictions(table[:n, order].astype(np.float32), noisy.fnames[:n], names, made)
        save_predictions(prediction_path(args, args.noisy_scores, "train_noisy"), scores)
        return sorted(int(fname[4:6]) for fname in believable_clips(args))

    return call


def test_clips_are_believed_from_a_precision_on(believe):
    assert believe(0.0) == list(range(8))
    assert believe(0.3) == [0, 1, 2, 4, 5, 6]
    assert believe(0.5) == [0, 1, 4, 5]
    assert believe(1.0) == [0, 4]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"fold_num": 0}, "fold_num 0, not 1"),
        ({"seed": 8}, "seed 8, not 1"),
        ({"fold_split": "random"}, "fold_split random, not "),
        ({"train_split": "train"}, "train_split train, not train_curated"),
        ({"split": "test"}, "split test, not train_noisy"),
        ({"n": 7}, "oisy07.wav"),
    ],
)
def test_only_scores_of_this_fold_by_a_network_that_saw_no_noisy_clip_are_taken(believe, change, line):
    with pytest.raises(UserError, match=line):
        believe(**change)


def test_scores_that_are_not_there_are_asked_for(make_args):
    with pytest.raises(UserError, match=r"test\.py --split train_noisy"):
        believable_clips(make_args(noisy_scores="nowhere"))
