"""CSVs of a data set -> clips, labels, folds and groups.  What is wrong is named with its file and line or clip."""

from pathlib import Path

import numpy as np
import pandas as pd

from loaders.csv_files import check_commas, class_columns, parse_labels, read_csv, read_rows
from loaders.layouts.corpus import Subset
from loaders.spelling import look
from utils.errors import UserError


def read_vocabulary(path: Path) -> list[str]:
    """Labels of a vocabulary with or without a header, an index column and further columns."""
    table = read_rows(path)
    column = 1 if table.shape[1] > 1 and table[0].iloc[-1].isdigit() else 0
    names = table[column].str.strip().tolist()
    headed = names[0].lower() in ("label", "labels", "class", "name", "display_name")
    return check_commas(names[1:] if headed else names, path)


def read_sample(path: Path) -> tuple[list[str], list[str]]:
    """Class names and test clips of a sample submission, which has a column for each class."""
    table = read_csv(path, ["fname"])
    return class_columns(table, path), unique(table.fname, path)


def read_subset(csv: Path, folder: Path, class_names: list[str]) -> Subset:
    """The clips of a table with columns fname and labels, which are comma-separated, and perhaps usage."""
    table = read_csv(csv, ["fname", "labels"])
    usage = table.usage.to_numpy(dtype=str) if "usage" in table else None
    return Subset(folder, unique(table.fname, csv), parse_labels(table, class_names, csv), usage)


def one_label(table: pd.DataFrame, column: str, class_names: list[str], csv: Path) -> np.ndarray:
    """A table with one label a clip -> (N, C) bool.  Labels hold whatever they like, commas too."""
    labels = np.array([look(label) for label in table[column].str.strip()], dtype=str)
    names = np.array([look(name) for name in class_names], dtype=str)
    known = np.isin(labels, names)
    if not known.all():
        row = int(np.argmin(known))
        problem = f"the label {str(labels[row])!r} is not in the class list" if labels[row] else "the label is empty"
        raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
    return labels[:, None] == names


def classes_by_number(table: pd.DataFrame, number: str, name: str, csv: Path) -> list[str]:
    """Class names in the order of their numbers.  Raises UserError where a name and a number are no pair."""
    pairs = table[[number, name]].drop_duplicates()
    for column in (number, name):
        if pairs[column].duplicated().any():
            odd = pairs[pairs[column].duplicated(keep=False)].iloc[:2]
            both = " and ".join(f"{row[name]} is {row[number]}" for _, row in odd.iterrows())
            raise UserError(f"{csv}: {both}; a class has one {number}")
    order = whole_numbers(pairs[number], csv, number)
    return pairs[name].iloc[np.argsort(order)].tolist()


def read_folds(column: pd.Series, csv: Path) -> np.ndarray:
    """Names of folds -> (N,) numbers from 0, in their order; -1 where the field is empty: no fold holds that clip out.

    Raises UserError where no clip has a fold, or one fold has all clips.
    """
    column = column.str.strip()
    given = (column != "").to_numpy()
    names = sorted(set(column[given]), key=lambda name: (0, int(name), name) if name.isdigit() else (1, 0, name))
    if not names:
        raise UserError(f"{csv}: the column {column.name!r} names no fold; fill it in or take it out")
    if len(names) == 1 and given.all():
        raise UserError(
            f"{csv}: the column {column.name!r} holds out all clips in fold {names[0]}; none is left to train"
        )
    number = {name: i for i, name in enumerate(names)}
    return np.array([number.get(name, -1) for name in column], int)


def whole_numbers(column: pd.Series, csv: Path, what: str) -> np.ndarray:
    """A column of whole numbers (N,).  Raises UserError that names the first line that holds none."""
    digits = column.str.strip().str.fullmatch(r"\d+").to_numpy(dtype=bool)
    if not digits.all():
        row = column.index[int(np.argmin(digits))]
        raise UserError(f"{csv}: line {row + 2} has {what} {column.loc[row]!r}, which is no whole number; correct it")
    return column.astype(int).to_numpy()


def unique(fnames: pd.Series, csv: Path) -> list[str]:
    """File names as a list.  Raises UserError if one is empty or there twice."""
    doubled = fnames[fnames.duplicated()]
    if len(doubled):
        raise UserError(f"{csv}: lists {doubled.iloc[0]} more than once; delete all but one of its lines")
    if (fnames == "").any():
        raise UserError(f"{csv}: line {int((fnames == '').argmax()) + 2} has no file name")
    return fnames.tolist()


def with_clips(subsets: dict[str, Subset]) -> dict[str, Subset]:
    """Those that are not empty, as a table is that consists of a header."""
    return {name: subset for name, subset in subsets.items() if subset.fnames}
