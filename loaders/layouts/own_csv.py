"""Own data with a table: `train.csv`, audio in `train/`, and `test/` where there is one."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.folders import named_sounds
from loaders.layouts.tables import parse_labels, read_csv, read_folds, read_sample, unique, with_clips


def read(root: Path) -> Corpus:
    """Columns fname and labels (comma-separated), perhaps fold and group.

    The classes are the labels that occur and the test clips those in `test/`, unless `sample_submission.csv` tells.
    """
    csv = root / "train.csv"
    table = read_csv(csv, ["fname", "labels"])
    class_names = sorted({label.strip() for labels in table.labels for label in labels.split(",")} - {""})
    test = named_sounds(root / "test") if (root / "test").is_dir() else []
    if (root / "sample_submission.csv").exists():
        class_names, test = read_sample(root / "sample_submission.csv")
    curated = Subset(
        root / "train",
        unique(table.fname, csv),
        parse_labels(table, class_names, csv),
        folds=read_folds(table["fold"], csv) if "fold" in table else None,
        groups=table["group"].str.strip().to_numpy(dtype=str) if "group" in table else None,
    )
    return Corpus(class_names, with_clips({"train_curated": curated, "test": Subset(root / "test", test)}))
