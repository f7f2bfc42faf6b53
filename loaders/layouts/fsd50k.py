"""FSD50K (Zenodo record 4060432): several of 200 labels a clip, their parents in the hierarchy included."""

from pathlib import Path

import pandas as pd

from loaders.layouts.corpus import Corpus
from loaders.layouts.tables import clips_of, read_csv, read_vocabulary
from utils.errors import UserError

HELD_OUT = {"val": "0", "train": ""}  # the published validation split is the one given fold


def read(root: Path) -> Corpus:
    """`FSD50K.ground_truth/` with a vocabulary, `dev.csv` (curated) and `eval.csv` (test)."""
    tables = root / "FSD50K.ground_truth"
    class_names = read_vocabulary(tables / "vocabulary.csv")
    dev_csv, eval_csv = tables / "dev.csv", tables / "eval.csv"
    dev = _read_table(dev_csv, "split")
    odd = dev[~dev["split"].isin(HELD_OUT)]
    if len(odd):
        fname, split = odd.fname.iloc[0], odd["split"].iloc[0]
        raise UserError(f"{dev_csv}, clip {fname}: split is {split!r}, not train or val")
    dev = dev.assign(fold=dev["split"].map(HELD_OUT))
    subsets = {"train_curated": clips_of(dev, dev_csv, root / "FSD50K.dev_audio", class_names, fold="fold")}
    if eval_csv.exists():
        subsets["test"] = clips_of(_read_table(eval_csv), eval_csv, root / "FSD50K.eval_audio", class_names)
    return Corpus(class_names, subsets)


def _read_table(csv: Path, *columns: str) -> pd.DataFrame:
    table = read_csv(csv, ["fname", "labels", *columns])
    bare = ~table.fname.str.lower().str.endswith(".wav") & (table.fname != "")
    return table.assign(fname=table.fname.where(~bare, table.fname + ".wav"))  # the tables leave it out
