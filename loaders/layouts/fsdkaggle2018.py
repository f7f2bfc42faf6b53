"""FSDKaggle2018 as Zenodo has it (record 2552860), with the answers, and as Kaggle had it (DCASE 2018, Task 2)."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import one_label, read_csv, unique, with_clips
from loaders.layouts.verified import split_verified

ZENODO = "FSDKaggle2018."
JUDGED_BY = ("mAP@3",)
MOST_LABELS = 3  # that a row of Kaggle's submission names, separated by blanks


def read_zenodo(root: Path) -> Corpus:
    """`FSDKaggle2018.meta/` with a table for each of `FSDKaggle2018.audio_train/` and `.audio_test/`."""
    meta, test_csv = root / f"{ZENODO}meta", root / f"{ZENODO}meta" / "test_post_competition_scoring_clips.csv"
    class_names, subsets = split_verified(meta / "train_post_competition.csv", root / f"{ZENODO}audio_train")
    if test_csv.exists():
        table = read_csv(test_csv, ["fname", "label"])
        truth = one_label(table, "label", class_names, test_csv)
        usage = table.usage.to_numpy(dtype=str) if "usage" in table else None
        subsets["test"] = Subset(root / f"{ZENODO}audio_test", unique(table.fname, test_csv), truth, usage)
    return Corpus(class_names, with_clips(subsets), JUDGED_BY)


def read_kaggle(root: Path) -> Corpus:
    """`train.csv` and `sample_submission.csv`, audio in `audio_train/` and `audio_test/`."""
    sample_csv = root / "sample_submission.csv"
    class_names, subsets = split_verified(root / "train.csv", root / "audio_train")
    sample = read_csv(sample_csv, ["fname"])
    subsets["test"] = Subset(root / "audio_test", unique(sample.fname, sample_csv))
    most = MOST_LABELS if "label" in sample else 0
    return Corpus(class_names, with_clips(subsets), JUDGED_BY, most)
