"""Own data without any table: `train/LABEL/*.wav`, and `test/*.wav` where there is any."""

from pathlib import Path, PurePosixPath

import numpy as np

from loaders.layouts.corpus import Corpus, Subset
from loaders.listing import list_folders, list_sounds
from utils.errors import UserError


def read(root: Path) -> Corpus:
    """A label is the name of a folder, or of a link to one."""
    class_names, fnames = list_folders(root / "train"), named_sounds(root / "train")
    loose = [fname for fname in fnames if "/" not in fname]
    if loose:
        raise UserError(f"{root / 'train' / loose[0]} is in no label's folder; move it to {root / 'train'}/LABEL/")
    labels = np.array([PurePosixPath(fname).parts[0] for fname in fnames], str)
    curated = Subset(root / "train", fnames, labels[:, None] == np.array(class_names, str))
    return Corpus(class_names, {"train_curated": curated, "test": Subset(root / "test", named_sounds(root / "test"))})


def named_sounds(folder: Path) -> list[str]:
    """As `list_sounds`, none where there is no folder.  Raises UserError on a name that could not stand in a CSV."""
    fnames = list_sounds(folder) if folder.is_dir() else []
    for fname in fnames:
        if any("\ud800" <= letter <= "\udfff" for letter in fname):  # how Python spells bytes that are no UTF-8
            raise UserError(f"{folder / fname}: its name is not UTF-8, and could not stand in a CSV; rename it")
    return fnames
