"""CSVs of strangers: read as text, their headers checked, labels matched though spelt another way."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from loaders.spelling import look
from utils.errors import UserError

NAMELESS = re.compile(r"(Unnamed: \d+)?")  # the second is how pandas reads, and may have written, a missing name


def read_csv(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """All columns as strings; a byte-order mark, either kind of line end and blanks after commas are fine.

    Raises UserError on what is no table, and where one of the named columns is not there.
    """
    header = read_rows(path, nrows=1).iloc[0]
    blanks = any(name != name.lstrip() for name in header)  # after every comma then, before quotes too
    rows = read_rows(path, skipinitialspace=blanks)
    table = rows.iloc[1:].set_axis(rows.iloc[0].str.strip().tolist(), axis=1).reset_index(drop=True)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r} among {', '.join(map(str, table.columns[:8]))}")
    for column in (*columns, "usage", "fold", "group", "src_file", "fsID", "freesound_id"):
        if (table.columns == column).sum() > 1:
            raise UserError(f"{path}: has two columns {column!r}; delete one")
    return table


def read_rows(path: Path, **how: object) -> pd.DataFrame:
    """Every row as strings, the header too if there is one; at least one row.  how: further arguments of pandas."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, header=None, encoding="utf-8-sig", **how)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:  # UnicodeDecodeError, EmptyDataError and ParserError are ValueErrors
        raise UserError(f"{path}: not a CSV that can be read: {str(error).splitlines()[0]}") from None


def class_columns(table: pd.DataFrame, csv: Path) -> list[str]:
    """The classes of a sample submission: its columns but fname, and but a column that only counts rows.

    Raises UserError on a column that is no class.
    """
    names = []
    for place, name in enumerate(table.columns):
        if name != "fname" and not NAMELESS.fullmatch(name):
            names.append(name)
        elif name != "fname" and not _holds_nothing(table.iloc[:, place]):
            raise UserError(f"{csv}: column {place + 1} has no name; give it that of its class, or delete it")
    return check_commas(names, csv)


def _holds_nothing(values: pd.Series) -> bool:
    """Whether a column is the index that pandas writes unless told not to, or what a comma at each line's end makes."""
    return (values == "").all() or (values.str.fullmatch(r"\d+").all() and values.is_unique)


def check_commas(class_names: list[str], csv: Path) -> list[str]:
    """The names, if labels in a CSV can tell them apart.  Raises UserError on one with a comma."""
    for name in class_names:
        if "," in name:
            raise UserError(
                f"{csv}: the class {name!r} holds a comma, and in CSVs commas separate labels; "
                "rename it there and in every table"
            )
    return class_names


def parse_labels(table: pd.DataFrame, class_names: list[str], csv: Path) -> np.ndarray:
    """Comma-separated labels -> (N, C) bool."""
    column = {look(name): i for i, name in enumerate(class_names)}
    rows = table.labels.str.split(",")
    pairs = [(row, look(label.strip())) for row, labels in enumerate(rows) for label in labels]
    for row, label in pairs:
        if label not in column:
            problem = f"the label {label!r} is not in the class list" if label else "a label is empty"
            raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
    truth = np.zeros((len(table), len(class_names)), bool)
    if pairs:
        truth[[row for row, _ in pairs], [column[label] for _, label in pairs]] = True
    return truth
