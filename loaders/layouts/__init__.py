"""A data set's folder -> class names and, per subset, file names and labels.  A file for each published layout.

Reads CSVs and folder listings only, never audio; the class list always comes from the data.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loaders.layouts import esc50, folders, fsd50k, fsdkaggle2018, fsdkaggle2019, fsdnoisy18k, own_csv, urbansound8k
from loaders.layouts.corpus import Corpus, Subset, check_classes
from loaders.layouts.tables import read_header
from utils.errors import UserError

__all__ = ["LAYOUTS", "SUBSETS", "Corpus", "Subset", "read_corpus"]

SUBSETS = {  # of a split, as train.py and the feature step name it
    "train": ["train_curated", "train_noisy"],
    "train_curated": ["train_curated"],
    "train_noisy": ["train_noisy"],
    "test": ["test"],
}

LAYOUTS: dict[str, Callable[[Path], Corpus]] = {  # by what is there, "FILE" or "FILE with COLUMN"; the first one counts
    "train_curated.csv": fsdkaggle2019.read_kaggle,
    "FSDKaggle2019.meta": fsdkaggle2019.read_zenodo,
    "FSDKaggle2018.meta": fsdkaggle2018.read_zenodo,
    "train.csv with manually_verified": fsdkaggle2018.read_kaggle,
    "FSDnoisy18k.meta": fsdnoisy18k.read,
    "FSD50K.ground_truth": fsd50k.read,
    "meta/esc50.csv": esc50.read,
    "metadata/UrbanSound8K.csv": urbansound8k.read,
    "train.csv": own_csv.read,
    "train": folders.read,
}


def read_corpus(data_path: Path) -> Corpus:
    """Read a data set in whichever layout it has.  Raises UserError that names the file and what is wrong with it."""
    if not data_path.is_dir():
        raise UserError(f"the data folder {data_path} does not exist; set data_path in config.json")
    read = next((read for mark, read in LAYOUTS.items() if _is_there(data_path, mark)), None)
    if read is None:
        raise UserError(f"{data_path} holds none of {', '.join(LAYOUTS)}; docs/data.md tells which layouts can be read")
    corpus = read(data_path)
    filled = {name: subset for name, subset in corpus.subsets.items() if subset.fnames}  # a table may be a header only
    corpus = replace(corpus, subsets=filled)
    check_classes(corpus, data_path)
    return corpus


def _is_there(root: Path, mark: str) -> bool:
    name, _, column = mark.partition(" with ")
    return (root / name).exists() and (not column or column in read_header(root / name)[1].str.strip().tolist())
