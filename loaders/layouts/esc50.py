"""ESC-50 (Piczak, ACM MM 2015) and its part ESC-10: one label a clip, five folds, which must be kept."""

from pathlib import Path

from loaders.layouts.corpus import Corpus
from loaders.layouts.tables import classes_by_number, clips_of, read_csv


def read(root: Path) -> Corpus:
    """`meta/esc50.csv` and `audio/`.  Clips cut from one recording (`src_file`) are a group."""
    csv = root / "meta" / "esc50.csv"
    table = read_csv(csv, ["filename", "fold", "target", "category"]).rename(columns={"filename": "fname"})
    class_names = classes_by_number(table, "target", "category", csv)
    curated = clips_of(table, csv, root / "audio", class_names, "category", fold="fold", group="src_file")
    return Corpus(class_names, {"train_curated": curated})
