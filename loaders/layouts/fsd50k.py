"""FSD50K (Zenodo record 4060432): several of 200 labels a clip, their parents in the hierarchy included."""

from pathlib import Path

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import parse_labels, read_csv, read_vocabulary, unique, with_clips
from utils.errors import UserError

PREFIX = "FSD50K."
HELD_OUT = {"val": 0, "train": -1}  # the published validation split is the one given fold


def read(root: Path) -> Corpus:
    """`FSD50K.ground_truth/` with a vocabulary, `dev.csv` (curated) and `eval.csv` (test)."""
    tables = root / f"{PREFIX}ground_truth"
    class_names = read_vocabulary(tables / "vocabulary.csv")
    dev = read_csv(tables / "dev.csv", ["fname", "labels", "split"])
    odd = dev[~dev["split"].isin(HELD_OUT)]
    if len(odd):
        raise UserError(
            f"{tables / 'dev.csv'}, clip {odd.fname.iloc[0]}: split is {odd['split'].iloc[0]!r}, not train or val"
        )
    folds = dev["split"].map(HELD_OUT).to_numpy(dtype=int)
    subsets = {"train_curated": _subset(dev, tables / "dev.csv", root / f"{PREFIX}dev_audio", class_names, folds)}
    if (tables / "eval.csv").exists():
        table = read_csv(tables / "eval.csv", ["fname", "labels"])
        subsets["test"] = _subset(table, tables / "eval.csv", root / f"{PREFIX}eval_audio", class_names)
    return Corpus(class_names, with_clips(subsets))


def _subset(
    table: pd.DataFrame, csv: Path, folder: Path, class_names: list[str], folds: np.ndarray | None = None
) -> Subset:
    bare = ~table.fname.str.lower().str.endswith(".wav") & (table.fname != "")
    fnames = table.fname.where(~bare, table.fname + ".wav")  # the tables leave it out
    return Subset(folder, unique(fnames, csv), parse_labels(table, class_names, csv), folds=folds)
