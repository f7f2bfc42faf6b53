"""Own data with a table: `train.csv`, audio in `train/`, and `test/` where there is one."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.folders import named_sounds
from loaders.layouts.tables import clips_of, read_csv, read_sample, split_labels


def read(root: Path) -> Corpus:
    """Columns fname and labels (comma-separated), perhaps fold and group.

    The classes are the labels that occur and the test clips those in `test/`, unless `sample_submission.csv` tells.
    """
    csv, sample_csv = root / "train.csv", root / "sample_submission.csv"
    table = read_csv(csv, ["fname", "labels"])
    if sample_csv.exists():
        class_names, test = read_sample(sample_csv)
    else:
        class_names = sorted({label for labels in table.labels for label in split_labels(labels)} - {""})
        test = named_sounds(root / "test")
    curated = clips_of(table, csv, root / "train", class_names, fold="fold", group="group")
    return Corpus(class_names, {"train_curated": curated, "test": Subset(root / "test", test)})
