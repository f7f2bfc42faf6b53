"""FSDKaggle2018 as Zenodo has it (record 2552860), with the answers, and as Kaggle had it (DCASE 2018, Task 2)."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import read_csv, read_subset, read_verified, unique

JUDGED_BY = ("mAP@3",)
MOST_LABELS = 3  # that a row of Kaggle's submission names, separated by blanks


def read_zenodo(root: Path) -> Corpus:
    """`FSDKaggle2018.meta/` with a table for each of `FSDKaggle2018.audio_train/` and `.audio_test/`."""
    meta = root / "FSDKaggle2018.meta"
    class_names, subsets = read_verified(meta / "train_post_competition.csv", root / "FSDKaggle2018.audio_train")
    test_csv = meta / "test_post_competition_scoring_clips.csv"
    subsets["test"] = read_subset(test_csv, root / "FSDKaggle2018.audio_test", class_names, "label")
    return Corpus(class_names, subsets, JUDGED_BY)


def read_kaggle(root: Path) -> Corpus:
    """`train.csv` and `sample_submission.csv`, audio in `audio_train/` and `audio_test/`."""
    sample_csv = root / "sample_submission.csv"
    class_names, subsets = read_verified(root / "train.csv", root / "audio_train")
    sample = read_csv(sample_csv, ["fname"])
    subsets["test"] = Subset(root / "audio_test", unique(sample.fname, sample_csv))
    return Corpus(class_names, subsets, JUDGED_BY, MOST_LABELS if "label" in sample else 0)
