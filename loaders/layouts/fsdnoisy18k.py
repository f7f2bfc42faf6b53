"""FSDnoisy18k (Zenodo record 2529934): a tenth of the training clips verified, the others labelled noisily."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import one_label, read_csv, unique, with_clips
from loaders.layouts.verified import split_verified

PREFIX = "FSDnoisy18k."


def read(root: Path) -> Corpus:
    """`FSDnoisy18k.meta/train.csv` and `test.csv`, audio in `FSDnoisy18k.audio_train/` and `.audio_test/`."""
    meta, test_csv = root / f"{PREFIX}meta", root / f"{PREFIX}meta" / "test.csv"
    class_names, subsets = split_verified(meta / "train.csv", root / f"{PREFIX}audio_train")
    if test_csv.exists():
        table = read_csv(test_csv, ["fname", "label"])
        truth = one_label(table, "label", class_names, test_csv)
        subsets["test"] = Subset(root / f"{PREFIX}audio_test", unique(table.fname, test_csv), truth)
    return Corpus(class_names, with_clips(subsets))
