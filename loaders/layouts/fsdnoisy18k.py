"""FSDnoisy18k (Zenodo record 2529934): a tenth of the training clips verified, the others labelled noisily."""

from pathlib import Path

from loaders.layouts.corpus import Corpus
from loaders.layouts.tables import read_verified


def read(root: Path) -> Corpus:
    """`FSDnoisy18k.meta/train.csv` and `test.csv`, audio in `FSDnoisy18k.audio_train/` and `.audio_test/`."""
    meta = root / "FSDnoisy18k.meta"
    train = meta / "train.csv", root / "FSDnoisy18k.audio_train"
    return Corpus(*read_verified(*train, meta / "test.csv", root / "FSDnoisy18k.audio_test"))
