"""FSDnoisy18k (Zenodo record 2529934): a tenth of the training clips verified, the others labelled noisily."""

from pathlib import Path

from loaders.layouts.corpus import Corpus
from loaders.layouts.tables import read_subset, read_verified


def read(root: Path) -> Corpus:
    """`FSDnoisy18k.meta/train.csv` and `test.csv`, audio in `FSDnoisy18k.audio_train/` and `.audio_test/`."""
    meta = root / "FSDnoisy18k.meta"
    class_names, subsets = read_verified(meta / "train.csv", root / "FSDnoisy18k.audio_train")
    subsets["test"] = read_subset(meta / "test.csv", root / "FSDnoisy18k.audio_test", class_names, "label")
    return Corpus(class_names, subsets)
