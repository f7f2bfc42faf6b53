"""Own data without any table: `train/LABEL/*.wav`, and `test/*.wav` where there is any."""

from pathlib import Path, PurePosixPath

import numpy as np

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import with_clips
from loaders.listing import list_folders, list_sounds
from utils.errors import UserError


def read(root: Path) -> Corpus:
    """A label is the name of a folder, or of a link to one."""
    class_names, fnames = list_folders(root / "train"), named_sounds(root / "train")
    labels = [PurePosixPath(fname).parts[0] for fname in fnames]
    loose = [fname for fname in fnames if "/" not in fname]
    if loose:
        raise UserError(f"{root / 'train' / loose[0]} is in no label's folder; move it to {root / 'train'}/LABEL/")
    truth = np.array(labels)[:, None] == np.array(class_names) if fnames else np.zeros((0, len(class_names)), bool)
    subsets = {"train_curated": Subset(root / "train", fnames, truth)}
    subsets["test"] = Subset(root / "test", named_sounds(root / "test") if (root / "test").is_dir() else [])
    return Corpus(class_names, with_clips(subsets))


def named_sounds(folder: Path) -> list[str]:
    """As `list_sounds`.  Raises UserError on a name that could not stand in a CSV."""
    fnames = list_sounds(folder)
    for fname in fnames:
        if any("\ud800" <= letter <= "\udfff" for letter in fname):  # how Python spells bytes that are no UTF-8
            raise UserError(f"{folder / fname}: its name is not UTF-8, and could not stand in a CSV; rename it")
    return fnames
