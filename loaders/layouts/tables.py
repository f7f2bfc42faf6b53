"""CSVs of a data set -> clips, labels, folds and groups.  What is wrong is named with its file and line or clip."""

from pathlib import Path

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Subset
from utils.errors import UserError


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """All columns as strings; a byte-order mark and either kind of line end are fine."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, pd.errors.ParserError) as error:  # UnicodeDecodeError and EmptyDataError are ValueErrors
        raise UserError(f"{path}: not a CSV that can be read: {str(error).splitlines()[0]}") from None
    if not isinstance(table.index, pd.RangeIndex):  # which is how pandas takes the surplus
        raise UserError(f"{path}: has rows with more fields than its header names")
    table = _named_columns(table, path)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r} among {', '.join(map(str, table.columns[:8]))}")
    return table


def _named_columns(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Without blanks around the columns' names, and without columns that have none: an index, or a comma too many."""
    table = table.rename(columns=str.strip)
    for number, name in enumerate(table.columns):
        if name != f"Unnamed: {number}":  # how pandas calls it
            continue
        if not ((table[name] == "").all() or (number == 0 and table[name].str.fullmatch(r"\d+").all())):
            raise UserError(f"{path}: column {number + 1} has no name; give it one, or take it out")
        table = table.drop(columns=name)
    return table


def read_vocabulary(path: Path) -> list[str]:
    """Labels of a vocabulary with or without a header, an index column and further columns."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, header=None, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:
        raise UserError(f"{path}: not a CSV that can be read: {str(error).splitlines()[0]}") from None
    column = 1 if table.shape[1] > 1 and table[0].iloc[-1].isdigit() else 0
    names = table[column].tolist()
    return names[1:] if names[0].lower() in ("label", "labels", "class", "name", "display_name") else names


def read_sample(path: Path) -> tuple[list[str], list[str]]:
    """Class names and test clips of a sample submission, which has a column for each class."""
    table = read_csv(path, ["fname"])
    return [column for column in table.columns if column != "fname"], unique(table.fname, path)


def read_subset(csv: Path, folder: Path, class_names: list[str]) -> Subset:
    """The clips of a table with columns fname and labels, which are comma-separated, and perhaps usage."""
    table = read_csv(csv, ["fname", "labels"])
    usage = table.usage.to_numpy(dtype=str) if "usage" in table else None
    return Subset(folder, unique(table.fname, csv), parse_labels(table, class_names, csv), usage)


def parse_labels(table: pd.DataFrame, class_names: list[str], csv: Path) -> np.ndarray:
    """Comma-separated labels of a table's rows -> (N, C) bool."""
    for name in class_names:
        if "," in name:
            raise UserError(f"{csv}: the class {name!r} holds a comma, which separates labels here; rename it")
    column = {name: i for i, name in enumerate(class_names)}
    rows = table.labels.str.split(",")
    pairs = [(row, label.strip()) for row, labels in enumerate(rows) for label in labels]
    for row, label in pairs:
        if label not in column:
            problem = f"the label {label!r} is not in the class list" if label else "a label is empty"
            raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
    truth = np.zeros((len(table), len(class_names)), bool)
    if pairs:
        truth[[row for row, _ in pairs], [column[label] for _, label in pairs]] = True
    return truth


def one_label(table: pd.DataFrame, column: str, class_names: list[str], csv: Path) -> np.ndarray:
    """A table with one label a clip -> (N, C) bool.  Labels hold whatever they like, commas too."""
    labels = table[column].str.strip().to_numpy(dtype=str)
    known = np.isin(labels, class_names)
    if not known.all():
        row = int(np.argmin(known))
        problem = f"the label {str(labels[row])!r} is not in the class list" if labels[row] else "the label is empty"
        raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
    return labels[:, None] == np.array(class_names, dtype=str)


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
