"""CSVs of a data set -> clips, labels, folds and groups.  Errors name the file and the line or clip.

Tables come from strangers: all is read as text, headers are checked, labels match though spelt another way.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Subset, look
from utils.errors import UserError
from utils.text import read_text

NAMELESS = r"(Unnamed: \d+)?"  # the second is how pandas reads, and may have written, a missing name
VERIFIED = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "False": False}
NO_VALUE = {"", "na", "nan", "n/a", "none", "null", "<na>"}  # in lower case
OPTIONAL = ("usage", "fold", "group", "src_file", "fsID", "freesound_id")  # columns


def read_csv(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """All columns as strings; byte-order marks, any line ends, semicolons, tabs and blanks after commas are fine.

    Raises UserError on what is no table, or lacks a named column, or has a column or its header twice.
    """
    columns, (separator, first) = list(columns), read_header(path)
    blanks = first.str.match(r"\s").any()  # after every comma then, before quotes too
    rows = _read_rows(path, sep=separator, skipinitialspace=blanks)
    table = rows.iloc[1:].set_axis(rows.iloc[0].str.strip().tolist(), axis=1).reset_index(drop=True)
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r} among {', '.join(map(str, table.columns[:8]))}")
    for column in (*columns, *OPTIONAL):
        if (table.columns == column).sum() > 1:
            raise UserError(f"{path}: has two columns {column!r}; delete one")
    again = (table[columns].apply(lambda fields: fields.str.strip("\ufeff \t")) == columns).all(axis=1)
    if again.any():
        raise UserError(f"{path}: line {line_of(path, int(again.argmax()))} is the header again; delete that line")
    return table


def line_of(path: Path, row: int) -> int:
    """The line of a file in which a row of its table is, from 1."""
    lines = enumerate(io.StringIO(read_text(path), newline=None), 1)
    return [number for number, line in lines if line.strip()][row + 1]


def read_header(path: Path) -> tuple[str, pd.Series]:
    """What separates a table's fields, and the first row of them.  Raises UserError on what is no table."""
    first = _read_rows(path, nrows=1).iloc[0]
    separator = next((sign for sign in ";\t" if len(first) == 1 and sign in first[0]), ",")
    return separator, first if separator == "," else _read_rows(path, sep=separator, nrows=1).iloc[0]


def _read_rows(path: Path, **how: object) -> pd.DataFrame:
    """Every row as strings, a header too; at least one row.  how: further arguments of pandas."""
    try:
        return pd.read_csv(io.StringIO(read_text(path)), dtype=str, keep_default_na=False, header=None, **how)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:  # EmptyDataError and ParserError are ValueErrors
        raise UserError(f"{path}: not a CSV that can be read: {str(error).splitlines()[0]}") from None


def read_vocabulary(path: Path) -> list[str]:
    """Labels of a vocabulary with or without a header, an index column and further columns."""
    table = _read_rows(path)
    column = 1 if table.shape[1] > 1 and table[0].iloc[-1].isdigit() else 0
    names = table[column].str.strip().tolist()
    headed = names[0].lower() in ("label", "labels", "class", "name", "display_name")
    return _without_commas(names[1:] if headed else names, path)


def read_sample(csv: Path) -> tuple[list[str], list[str]]:
    """Class names and test clips of a sample submission, which has a column for each class.

    A column that has no name and only counts rows is no class.
    """
    table = read_csv(csv, ["fname"])
    nameless = table.columns.str.fullmatch(NAMELESS)
    for place in np.flatnonzero(nameless):
        values = table.iloc[
            :, place
        ]  # the index that pandas writes by default, or what a comma at each line's end makes
        if not ((values == "").all() or (values.str.fullmatch(r"\d+").all() and values.is_unique)):
            raise UserError(f"{csv}: column {place + 1} has no name; give it that of its class, or delete it")
    names = table.columns[~nameless & (table.columns != "fname")].tolist()
    return _without_commas(names, csv), unique(table.fname, csv)


def _without_commas(class_names: list[str], csv: Path) -> list[str]:
    if odd := [name for name in class_names if "," in name]:
        remedy = "and in CSVs commas separate labels; rename it there and in every table"
        raise UserError(f"{csv}: the class {odd[0]!r} holds a comma, {remedy}")
    return class_names


def read_subset(csv: Path, folder: Path, class_names: list[str], label: str | None = None) -> Subset:
    """The clips of a table with a column fname and perhaps usage; none without a table.  label: as in `clips_of`."""
    if not csv.exists():
        return Subset(folder, [])
    return clips_of(read_csv(csv, ["fname", label or "labels"]), csv, folder, class_names, label)


def clips_of(
    table: pd.DataFrame,
    csv: Path,
    folder: Path,
    class_names: list[str],
    label: str | None = None,
    *,
    fold: str | None = None,
    group: str | None = None,
) -> Subset:
    """The clips of a table that has been read, and what its columns say of them.

    label: the column with the one label of a clip; None: `labels` has several, separated by commas.  fold, group:
    columns that the table may have, as it may have `usage`.  Rows that have some of a clip's labels each are joined.
    """
    texts = {name: table[name].str.strip() for name in ("usage", fold, group) if name and name in table}
    if group in texts:
        texts[group] = texts[group].mask(texts[group].str.lower().isin(NO_VALUE), "")
    usage, groups = (texts[name].to_numpy(dtype=str) if name in texts else None for name in ("usage", group))
    folds = _number_folds(texts[fold], csv) if fold in texts else None
    number = {look(name): i for i, name in enumerate(class_names)}
    truth = np.zeros((len(table), len(class_names)), bool)
    for row, text in enumerate(table[label or "labels"]):
        for name in map(look, [text.strip()] if label else split_labels(text)):  # one label may hold a comma
            if name not in number:
                problem = f"the label {name!r} is not in the class list" if name else "a label is empty"
                raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
            truth[row, number[name]] = True
    subset = Subset(folder, table.fname.tolist(), truth, usage, folds, groups)
    fnames, remarks = unique(table.fname if label else table.fname.drop_duplicates(), csv), []
    if len(fnames) < len(table):
        subset, remarks = _join_rows(subset, fnames, csv), [f"{len(table)} rows are joined into {len(fnames)} clips"]
    none = {"no fold, so they are always trained on": subset.folds == -1, "no group": subset.groups == ""}
    remarks += [f"{np.sum(rows)} clips have {what}" for what, rows in none.items() if np.any(rows)]
    return replace(subset, remarks=tuple(remarks))


def split_labels(text: str) -> list[str]:
    """The labels of a field, which commas separate; quotes around one are no part of it."""
    return [re.sub(r"^([\"'])(.+)\1$", r"\2", name.strip()).strip() for name in text.split(",")]


def _join_rows(subset: Subset, fnames: list[str], csv: Path) -> Subset:
    """The clips of these names, each with the labels of all of its rows.  Raises UserError where rows contradict."""
    row = pd.Index(fnames).get_indexer(subset.fnames)  # (N,) the clip that each row is of
    firsts = np.unique(row, return_index=True)[1]
    for what, column in {"usage": subset.usage, "fold": subset.folds, "group": subset.groups}.items():
        if column is not None and (odd := np.flatnonzero(column != column[firsts][row])).size:
            fname = subset.fnames[odd[0]]
            raise UserError(f"{csv}: the rows of {fname} differ in {what}; give all of them the same")
    truth = np.zeros((len(fnames), subset.truth.shape[1]), bool)
    np.logical_or.at(truth, row, subset.truth)
    return replace(subset.select(firsts), truth=truth)


def read_verified(csv: Path, folder: Path) -> tuple[list[str], dict[str, Subset]]:
    """The classes, by name, and train_curated and train_noisy of a table, which tells them by `manually_verified`.

    Clips of one Freesound id, where the table has them, are a group.
    """
    table = read_csv(csv, ["fname", "label", "manually_verified"])
    class_names = sorted(set(table.label.str.strip()) - {""})
    curated = table.manually_verified.str.strip().map(VERIFIED)
    if curated.isna().any():
        row = int(curated.isna().argmax())
        value = table.manually_verified[row]
        raise UserError(f"{csv}: line {line_of(csv, row)} has manually_verified {value!r}; it must be 1 or 0")
    verified, clips = curated.to_numpy(bool), clips_of(table, csv, folder, class_names, "label", group="freesound_id")
    return class_names, {"train_curated": clips.select(verified), "train_noisy": clips.select(~verified)}


def _number_folds(column: pd.Series, csv: Path) -> np.ndarray:
    """Names of folds -> (N,) numbers from 0, in their order; -1 where the field names none, as no fold holds it out."""
    column = column.mask(column.str.lower().isin(NO_VALUE | {"-1", "-1.0"}), "")
    given = column != ""
    names = sorted(set(column[given]), key=lambda name: (0, int(name), name) if name.isdigit() else (1, 0, name))
    if not names or (len(names) == 1 and given.all()):
        problem = f"holds out all clips in fold {names[0]}; none is left to train" if names else "names no fold"
        raise UserError(f"{csv}: the column {column.name!r} {problem}; correct it, or take it out")
    return column.map({name: i for i, name in enumerate(names)}).fillna(-1).to_numpy(int)


def classes_by_number(table: pd.DataFrame, number: str, name: str, csv: Path) -> list[str]:
    """Class names in the order of their numbers.  Raises UserError where a name and a number are no pair."""
    pairs = table[[number, name]].drop_duplicates()
    for column in (number, name):
        odd = pairs[pairs[column].duplicated(keep=False)].iloc[:2]
        if len(odd):
            both = " and ".join(odd[name] + " is " + odd[number])
            raise UserError(f"{csv}: {both}; a class has one {number}")
    digits = pairs[number].str.fullmatch(r"\s*\d+\s*")
    if not digits.all():
        line, value = line_of(csv, digits.idxmin()), pairs[number][digits.idxmin()]
        raise UserError(f"{csv}: line {line} has {number} {value!r}, which is no whole number; correct it")
    return pairs[name].loc[pairs[number].astype(int).sort_values().index].tolist()


def unique(fnames: pd.Series, csv: Path) -> list[str]:
    """File names as a list.  Raises UserError if one is empty or there twice."""
    doubled = fnames[fnames.duplicated()]
    if len(doubled):
        raise UserError(f"{csv}: lists {doubled.iloc[0]} more than once; delete all but one of its lines")
    if (fnames == "").any():
        raise UserError(f"{csv}: line {line_of(csv, (fnames == '').idxmax())} has no file name")
    return fnames.tolist()
