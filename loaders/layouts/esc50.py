"""ESC-50 (Piczak, ACM MM 2015) and its part ESC-10: one label a clip, five folds, which must be kept."""

from pathlib import Path

from loaders.layouts.corpus import Corpus, Subset
from loaders.layouts.tables import classes_by_number, one_label, read_csv, read_folds, unique


def read(root: Path) -> Corpus:
    """`meta/esc50.csv` and `audio/`.  Clips cut from one recording (`src_file`) are a group."""
    csv = root / "meta" / "esc50.csv"
    table = read_csv(csv, ["filename", "fold", "target", "category"]).rename(columns={"filename": "fname"})
    class_names = classes_by_number(table, "target", "category", csv)
    curated = Subset(
        root / "audio",
        unique(table.fname, csv),
        one_label(table, "category", class_names, csv),
        folds=read_folds(table["fold"], csv),
        groups=table.src_file.str.strip().to_numpy(dtype=str) if "src_file" in table else None,
    )
    return Corpus(class_names, {"train_curated": curated})
