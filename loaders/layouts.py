"""A data set's folder -> class names and, per subset, file names and labels.  Three layouts (README, "Your own data").

Reads CSVs and folder listings only, never audio; the class list always comes from the data.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from loaders.spelling import look
from loaders.tables import check_commas, class_columns, parse_labels, read_csv, read_rows
from utils.errors import UserError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
ZENODO = "FSDKaggle2019."


@dataclass(frozen=True)
class Subset:
    """The clips of one folder: N file names relative to it, and what is known about them."""

    folder: Path
    fnames: list[str]
    truth: np.ndarray | None = None  # (N, C) bool; None where the labels are not known
    usage: np.ndarray | None = None  # (N,) "Public" or "Private", of a competition's test set

    def truth_of(self, fnames: list[str]) -> np.ndarray:
        """The labels (n, C) of the named clips, in this order."""
        row = {fname: i for i, fname in enumerate(self.fnames)}
        return self.truth[[row[fname] for fname in fnames]]


@dataclass(frozen=True)
class Corpus:
    """A data set: its classes in submission order and its subsets, of `train_curated`, `train_noisy` and `test`."""

    class_names: list[str]
    subsets: dict[str, Subset] = field(default_factory=dict)

    def subset(self, name: str) -> Subset:
        """The subset of that name.  Raises UserError if the data set has none."""
        if name not in self.subsets:
            raise UserError(f"this data set has no {name} clips; it has {', '.join(self.subsets)}")
        return self.subsets[name]


def read_corpus(data_path: Path) -> Corpus:
    """Read a data set in whichever layout it has.  Raises UserError that names the file and what is wrong with it."""
    if not data_path.is_dir():
        raise UserError(f"the data folder {data_path} does not exist; set data_path in config.json")
    for mark, read in LAYOUTS.items():
        if (data_path / mark).exists():
            corpus = read(data_path)
            break
    else:
        raise UserError(
            f"{data_path} holds none of {', '.join(LAYOUTS)}; the layouts that can be read are in the README"
        )
    _check_classes(corpus, data_path)
    return corpus


def _read_kaggle(root: Path) -> Corpus:
    sample = read_csv(root / "sample_submission.csv", ["fname"])
    class_names = class_columns(sample, root / "sample_submission.csv")
    subsets = {
        name: _subset(root / f"{name}.csv", root / name, class_names)
        for name in ("train_curated", "train_noisy")
        if (root / f"{name}.csv").exists()
    }
    test = Subset(root / "test", _unique(sample.fname, root / "sample_submission.csv"))
    answers = root / "test_post_competition.csv"
    subsets["test"] = _with_answers(test, answers, class_names) if answers.exists() else test
    return Corpus(class_names, _with_clips(subsets))


def _read_zenodo(root: Path) -> Corpus:
    meta = root / f"{ZENODO}meta"
    class_names = _read_vocabulary(meta / "vocabulary.csv")
    subsets = {
        name: _subset(meta / f"{name}_post_competition.csv", root / f"{ZENODO}audio_{name}", class_names)
        for name in ("train_curated", "train_noisy", "test")
        if (meta / f"{name}_post_competition.csv").exists()
    }
    return Corpus(class_names, _with_clips(subsets))


def _with_clips(subsets: dict[str, Subset]) -> dict[str, Subset]:
    """Those that are not empty, as a table is that consists of a header."""
    return {name: subset for name, subset in subsets.items() if subset.fnames}


def _read_folders(root: Path) -> Corpus:
    """`train/LABEL/*.wav` and `test/*.wav`: a label is a folder's name."""
    class_names = sorted(folder.name for folder in (root / "train").iterdir() if folder.is_dir())
    fnames = _list_audio(root / "train")
    labels = [PurePosixPath(fname).parts[0] for fname in fnames]
    loose = [fname for fname in fnames if "/" not in fname]
    if loose:
        raise UserError(f"{root / 'train' / loose[0]} lies in no label's folder; move it to {root / 'train'}/LABEL/")
    truth = np.array(labels)[:, None] == np.array(class_names) if fnames else np.zeros((0, len(class_names)), bool)
    subsets = {"train_curated": Subset(root / "train", fnames, truth)}
    subsets["test"] = Subset(root / "test", _list_audio(root / "test") if (root / "test").is_dir() else [])
    return Corpus(class_names, _with_clips(subsets))


LAYOUTS: dict[str, Callable[[Path], Corpus]] = {
    "train_curated.csv": _read_kaggle,
    f"{ZENODO}meta": _read_zenodo,
    "train": _read_folders,
}


def _subset(csv: Path, folder: Path, class_names: list[str]) -> Subset:
    table = read_csv(csv, ["fname", "labels"])
    usage = table.usage.to_numpy(dtype=str) if "usage" in table else None
    return Subset(folder, _unique(table.fname, csv), parse_labels(table, class_names, csv), usage)


def _with_answers(test: Subset, csv: Path, class_names: list[str]) -> Subset:
    """Put the answers in the order of the sample submission."""
    answers = _subset(csv, test.folder, class_names)
    row = {look(fname): i for i, fname in enumerate(answers.fnames)}
    missing = [fname for fname in test.fnames if look(fname) not in row]
    if missing:
        raise UserError(f"{csv}: has no answer for {missing[0]} of sample_submission.csv")
    order = [row[look(fname)] for fname in test.fnames]
    return Subset(
        test.folder, test.fnames, answers.truth[order], None if answers.usage is None else answers.usage[order]
    )


def _read_vocabulary(path: Path) -> list[str]:
    """Labels of a vocabulary with or without a header, an index column and further columns."""
    table = read_rows(path)
    column = 1 if table.shape[1] > 1 and table[0].iloc[-1].isdigit() else 0
    names = table[column].str.strip().tolist()
    headed = names[0].lower() in ("label", "labels", "class", "name", "display_name")
    return check_commas(names[1:] if headed else names, path)


def _unique(fnames: pd.Series, csv: Path) -> list[str]:
    doubled = fnames[fnames.duplicated()]
    if len(doubled):
        raise UserError(f"{csv}: lists {doubled.iloc[0]} more than once; delete all but one of its lines")
    if (fnames == "").any():
        raise UserError(f"{csv}: line {int((fnames == '').argmax()) + 2} has no file name")
    return fnames.tolist()


def _list_audio(folder: Path) -> list[str]:
    fnames = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES
    )
    for fname in fnames:
        if any("\ud800" <= letter <= "\udfff" for letter in fname):  # how Python spells bytes that are no UTF-8
            raise UserError(f"{folder / fname}: its name is not UTF-8, and could not stand in a CSV; rename it")
    return fnames


def _check_classes(corpus: Corpus, data_path: Path) -> None:
    if len(corpus.class_names) < 2:
        raise UserError(f"{data_path}: a tagger needs at least 2 classes; found {corpus.class_names}")
    looks = [look(name) for name in corpus.class_names]
    if doubled := [name for name in looks if looks.count(name) > 1]:
        raise UserError(f"{data_path}: the class list names a class twice: {doubled[0]!r}")
    labelled = [corpus.subsets[name].truth for name in ("train_curated", "train_noisy") if name in corpus.subsets]
    examples = sum((truth.sum(axis=0) for truth in labelled), np.zeros(len(corpus.class_names), int))
    if labelled and (examples == 0).any():
        empty = corpus.class_names[int(np.argmin(examples))]
        raise UserError(f"{data_path}: the class {empty!r} has no training clip; add clips or take it off the list")
