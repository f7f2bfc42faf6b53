"""Which noisy clips are believed, and whose word is taken for it."""

import argparse

import numpy as np
import pytest

from predicting.paths import prediction_path
from predicting.prediction_file import Predictions, save_predictions
from training.selection import believable, load_noisy_scores
from utils.errors import UserError

SCORES = np.array([[0.9, 0.5, 0.1], [0.1, 0.9, 0.5], [0.5, 0.1, 0.9], [0.4, 0.9, 0.5]], np.float32)
FNAMES, CLASSES = ["a.wav", "b.wav", "c.wav", "d.wav"], ["A", "B", "C"]
TRUTH = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)  # precisions 1, 1/3, 1/2 and (1/2 + 2/3) / 2


def scores(**changes: object) -> Predictions:
    made = {"dataset": "tiny", "fold_num": 1, "num_folds": 2, "fold_split": "stratified", "seed": 7}
    made |= {"arch": "resnet18", "sampling_rate": 16000, "train_split": "train_curated", "split": "train_noisy"}
    return Predictions(SCORES, FNAMES, CLASSES, made | changes)


@pytest.mark.parametrize(
    ("least", "rows"), [(0.0, [0, 1, 2, 3]), (0.5, [0, 2, 3]), (0.55, [0, 3]), (0.6, [0]), (1.0, [0])]
)
def test_clips_are_believed_from_a_precision_on(least, rows):
    assert believable(scores(), FNAMES, CLASSES, TRUTH, least).tolist() == rows


def test_clips_and_classes_are_matched_by_name():
    rows, columns = [3, 1, 0], [2, 0, 1]
    found = believable(scores(), [FNAMES[i] for i in rows], [CLASSES[i] for i in columns], TRUTH[rows][:, columns], 0.5)
    assert found.tolist() == [0, 2]


def test_a_clip_without_scores_is_named():
    with pytest.raises(UserError, match=r"new\.wav"):
        believable(scores(), [*FNAMES[:3], "new.wav"], CLASSES, TRUTH, 0.5)


def settings(folder: object) -> argparse.Namespace:
    return argparse.Namespace(
        noisy_scores=str(folder), arch="resnet18", dataset="tiny", img_rows=32, img_cols=64, sampling_rate=16000,
        fold_num=1, num_folds=2, fold_split="stratified", seed=7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, ""),
        ({"fold_num": 0}, "fold_num 0, not 1"),
        ({"seed": 8}, "seed 8, not 7"),
        ({"fold_split": "random"}, "fold_split random, not stratified"),
        ({"train_split": "train"}, "train_split train, not train_curated"),
        ({"split": "test"}, "split test, not train_noisy"),
    ],
)
def test_only_scores_of_this_fold_by_a_network_that_saw_no_noisy_clip_are_taken(tmp_path, change, line):
    args = settings(tmp_path)
    save_predictions(prediction_path(args, tmp_path, "train_noisy"), scores(**change))
    if not change:
        assert load_noisy_scores(args).fnames == FNAMES
        return
    with pytest.raises(UserError, match=line):
        load_noisy_scores(args)


def test_scores_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(UserError, match=r"test\.py --split train_noisy"):
        load_noisy_scores(settings(tmp_path))
