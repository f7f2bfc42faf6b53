"""FSDKaggle2019 as Kaggle has it, and as Zenodo has it (record 3612637), with the answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from loaders.layouts.corpus import Corpus, Subset, look
from loaders.layouts.tables import read_sample, read_subset, read_vocabulary
from utils.errors import UserError


def read_kaggle(root: Path) -> Corpus:
    """`train_curated.csv`, perhaps `train_noisy.csv`, and `sample_submission.csv`, whose columns are the classes."""
    class_names, fnames = read_sample(root / "sample_submission.csv")
    tables = {name: root / f"{name}.csv" for name in ("train_curated", "train_noisy")}
    subsets = {name: read_subset(csv, root / name, class_names) for name, csv in tables.items()}
    test, answers = Subset(root / "test", fnames), root / "test_post_competition.csv"
    subsets["test"] = _with_answers(test, answers, class_names) if answers.exists() else test
    return Corpus(class_names, subsets)


def read_zenodo(root: Path) -> Corpus:
    """`FSDKaggle2019.meta/` with a vocabulary and a table for each of `FSDKaggle2019.audio_*/`."""
    meta = root / "FSDKaggle2019.meta"
    class_names = read_vocabulary(meta / "vocabulary.csv")
    subsets = {}
    for name in ("train_curated", "train_noisy", "test"):
        csv, folder = meta / f"{name}_post_competition.csv", root / f"FSDKaggle2019.audio_{name}"
        subsets[name] = read_subset(csv, folder, class_names)
    return Corpus(class_names, subsets)


def _with_answers(test: Subset, csv: Path, class_names: list[str]) -> Subset:
    """The clips of the sample submission, in its order, with their answers."""
    answers = read_subset(csv, test.folder, class_names)
    row = {look(fname): i for i, fname in enumerate(answers.fnames)}
    missing = [fname for fname in test.fnames if look(fname) not in row]
    if missing:
        raise UserError(f"{csv}: has no answer for {missing[0]} of sample_submission.csv")
    return replace(answers.select(np.array([row[look(fname)] for fname in test.fnames], int)), fnames=test.fnames)
