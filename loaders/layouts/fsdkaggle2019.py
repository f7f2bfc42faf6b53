"""FSDKaggle2019 as Kaggle has it, and as Zenodo has it (record 3612637), with the answers."""

from pathlib import Path

import numpy as np

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import read_sample, read_subset, read_vocabulary, with_clips
from loaders.spelling import look
from utils.errors import UserError

ZENODO = "FSDKaggle2019."


def read_kaggle(root: Path) -> Corpus:
    """`train_curated.csv`, perhaps `train_noisy.csv`, and `sample_submission.csv`, whose columns are the classes."""
    class_names, fnames = read_sample(root / "sample_submission.csv")
    subsets = {
        name: read_subset(root / f"{name}.csv", root / name, class_names)
        for name in ("train_curated", "train_noisy")
        if (root / f"{name}.csv").exists()
    }
    test = Subset(root / "test", fnames)
    answers = root / "test_post_competition.csv"
    subsets["test"] = with_answers(test, answers, class_names) if answers.exists() else test
    return Corpus(class_names, with_clips(subsets))


def read_zenodo(root: Path) -> Corpus:
    """`FSDKaggle2019.meta/` with a vocabulary and a table for each of `FSDKaggle2019.audio_*/`."""
    meta = root / f"{ZENODO}meta"
    class_names = read_vocabulary(meta / "vocabulary.csv")
    subsets = {
        name: read_subset(meta / f"{name}_post_competition.csv", root / f"{ZENODO}audio_{name}", class_names)
        for name in ("train_curated", "train_noisy", "test")
        if (meta / f"{name}_post_competition.csv").exists()
    }
    return Corpus(class_names, with_clips(subsets))


def with_answers(test: Subset, csv: Path, class_names: list[str]) -> Subset:
    """Put the answers in the order of the sample submission."""
    answers = read_subset(csv, test.folder, class_names)
    row = {look(fname): i for i, fname in enumerate(answers.fnames)}
    missing = [fname for fname in test.fnames if look(fname) not in row]
    if missing:
        raise UserError(f"{csv}: has no answer for {missing[0]} of sample_submission.csv")
    found = answers.select(np.array([row[look(fname)] for fname in test.fnames], int))
    return Subset(test.folder, test.fnames, found.truth, found.usage)
