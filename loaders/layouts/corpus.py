"""What a data set is to everything else: its classes, and per subset the clips and what is known about them."""

import unicodedata
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from utils.errors import UserError


def look(name: str) -> str:
    """What names have in common that look alike: accented letters as one sign (macOS may write two)."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Subset:
    """The clips of one folder: N file names relative to it, and what is known about them."""

    folder: Path
    fnames: list[str]
    truth: np.ndarray | None = None  # (N, C) bool; None where the labels are not known
    usage: np.ndarray | None = None  # (N,) "Public" or "Private", of a competition's test set
    folds: np.ndarray | None = None  # (N,) the published fold that holds a clip out, from 0; -1: none does
    groups: np.ndarray | None = None  # (N,) str: the recording that a clip was cut from; "": a clip of its own
    remarks: tuple[str, ...] = ()  # how its table was understood, where it could be meant in another way

    def truth_of(self, fnames: list[str]) -> np.ndarray:
        """The labels (n, C) of the named clips, in this order."""
        row = {fname: i for i, fname in enumerate(self.fnames)}
        return self.truth[[row[fname] for fname in fnames]]

    def select(self, rows: np.ndarray) -> "Subset":
        """The clips at these indices, or where this mask (N,) is true."""
        fnames = np.array(self.fnames, object)[rows].tolist()
        known = (self.truth, self.usage, self.folds, self.groups)
        return Subset(self.folder, fnames, *(None if k is None else k[rows] for k in known), self.remarks)


@dataclass(frozen=True)
class Corpus:
    """A data set: its classes in submission order and its subsets, of `train_curated`, `train_noisy` and `test`."""

    class_names: list[str]
    subsets: dict[str, Subset] = field(default_factory=dict)
    judged_by: tuple[str, ...] = ()  # keys of predicting.metrics.METRICS that a competition on these data was judged by
    labels_in_submission: int = 0  # a row of the submission names up to so many labels; 0: it has all probabilities

    def subset(self, name: str) -> Subset:
        """The subset of that name.  Raises UserError if the data set has none."""
        if name not in self.subsets:
            raise UserError(f"this data set has no {name} clips; it has {', '.join(self.subsets)}")
        return self.subsets[name]

    def ordered_as(self, class_names: list[str], fnames: dict[str, list[str]]) -> "Corpus":
        """The same with classes and the clips of these subsets in this order, as far as they are the same ones."""

        def order(names: list[str], wanted: list[str]) -> np.ndarray:
            place = {name: i for i, name in enumerate(names)}
            return np.array([place[name] for name in wanted] if place.keys() == set(wanted) else range(len(names)), int)

        columns, subsets = order(self.class_names, class_names), {}
        for name, subset in self.subsets.items():
            rows = order(subset.fnames, fnames.get(name, []))
            truth = None if subset.truth is None else subset.truth[:, columns]
            subsets[name] = replace(subset, truth=truth).select(rows)
        return replace(self, class_names=[self.class_names[i] for i in columns], subsets=subsets)

    @cached_property
    def single_label(self) -> bool:
        """Whether every clip whose labels are known has exactly one."""
        known = [subset.truth for subset in self.subsets.values() if subset.truth is not None]
        return bool(known) and all((truth.sum(axis=1) == 1).all() for truth in known)

    @property
    def metrics(self) -> list[str]:
        """What is reported beside lwlrap: keys of predicting.metrics.METRICS."""
        return [*self.judged_by, *(["accuracy"] if self.single_label else ["mAP", "d-prime"])]


def check_classes(corpus: Corpus, data_path: Path) -> None:
    """Raise UserError unless there are two classes or more, each named once, with a training clip, and not `fname`."""
    if len(corpus.class_names) < 2:
        raise UserError(f"{data_path}: a tagger needs at least 2 classes; found {corpus.class_names}")
    looks = [look(name) for name in corpus.class_names]
    if doubled := [name for name in looks if looks.count(name) > 1]:
        raise UserError(f"{data_path}: the class list names a class twice: {doubled[0]!r}")
    if "fname" in looks:
        raise UserError(f"{data_path}: a class is called 'fname', as the clips' column in every table; rename it")
    labelled = [corpus.subsets[name].truth for name in ("train_curated", "train_noisy") if name in corpus.subsets]
    examples = sum((truth.sum(axis=0) for truth in labelled), np.zeros(len(corpus.class_names), int))
    if labelled and (examples == 0).any():
        empty = corpus.class_names[int(np.argmin(examples))]
        raise UserError(f"{data_path}: the class {empty!r} has no training clip; add clips or take it off the list")
