"""UrbanSound8K (Salamon, Jacoby & Bello, ACM MM 2014): one label a clip, ten folds, which must be kept."""

from pathlib import Path

from loaders.layouts.corpus import Corpus
from loaders.layouts.tables import classes_by_number, clips_of, read_csv, unique


def read(root: Path) -> Corpus:
    """`metadata/UrbanSound8K.csv`, `audio/fold1/` to `fold10/`.  Clips cut from one recording (`fsID`) are a group."""
    csv = root / "metadata" / "UrbanSound8K.csv"
    table = read_csv(csv, ["slice_file_name", "fold", "classID", "class"])
    unique(table.slice_file_name, csv)
    table["fname"] = "fold" + table["fold"].str.strip() + "/" + table.slice_file_name
    class_names = classes_by_number(table, "classID", "class", csv)
    curated = clips_of(table, csv, root / "audio", class_names, "class", fold="fold", group="fsID")
    return Corpus(class_names, {"train_curated": curated})
