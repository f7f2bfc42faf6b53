"""CSVs of a data set -> clips, labels, folds and groups.  Errors name the file and the row or clip.

Tables come from strangers: all is read as text, and accented letters are one sign each (macOS may write two).
"""

import io
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd

from loaders.layouts.corpus import Subset
from utils.errors import UserError
from utils.text import read_text

NAMELESS = r"(Unnamed: \d+)?"  # an index that pandas wrote, or a comma at each line's end
VERIFIED = {"1": True, "0": False}
NO_VALUE = {"", "na", "nan", "n/a", "none", "null", "<na>", "-1", "-1.0"}  # in lower case


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """All columns that have a name, as strings.

    Raises UserError on what is no table, or lacks one of these columns, or has a column or its header twice.
    """
    rows = _read_rows(path)
    table = rows.iloc[1:].set_axis(rows.iloc[0].str.strip().tolist(), axis=1).reset_index(drop=True)
    table = table.loc[:, ~table.columns.str.fullmatch(NAMELESS)]
    if missing := [column for column in columns if column not in table]:
        raise UserError(f"{path}: has no column {missing[0]!r} among {', '.join(table.columns[:8])}")
    if len(doubled := table.columns[table.columns.duplicated()]):
        raise UserError(f"{path}: has two columns {doubled[0]!r}; delete one")
    if columns and (table[columns] == columns).all(axis=1).any():
        raise UserError(f"{path}: has its header twice; delete one")
    return table


def _read_rows(path: Path) -> pd.DataFrame:
    """Every row as strings, a header too; at least one row.  Semicolons or tabs may stand for the commas."""
    try:
        text = unicodedata.normalize("NFC", read_text(path))
        first = text.lstrip().partition("\n")[0]
        separator = next((sign for sign in ";\t" if sign in first and "," not in first), ",")
        how = {"sep": separator, "skipinitialspace": True, "header": None}
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, **how)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:  # EmptyDataError and ParserError are ValueErrors
        raise UserError(f"{path}: not a CSV that can be read: {str(error).splitlines()[0]}") from None


def read_vocabulary(path: Path) -> list[str]:
    """Labels of a vocabulary without a header; an index may stand before them, and further columns behind."""
    rows = _read_rows(path)
    column = 1 if rows.shape[1] > 1 and rows[0].iloc[-1].isdigit() else 0
    return rows[column].str.strip().tolist()


def read_sample(csv: Path) -> tuple[list[str], list[str]]:
    """Class names and test clips of a sample submission, which has a column for each class."""
    table = read_csv(csv, ["fname"])
    return table.columns.drop("fname").tolist(), unique(table.fname, csv)


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

    label: the column with the one label of a clip; None: `labels` has several, separated by commas, and a clip may
    have several rows.  fold, group: columns that the table may have, as it may have `usage`.
    """
    known = [name for name in ("usage", fold, group) if name in table]
    table = table.assign(**{name: table[name].str.strip() for name in known})
    if label is None and not table.fname.is_unique:
        table = _one_row_each(table, csv, known)
    number = {name: i for i, name in enumerate(class_names)}
    truth = np.zeros((len(table), len(class_names)), bool)
    for row, text in enumerate(table[label or "labels"]):
        for name in [text.strip()] if label else split_labels(text):  # one label may hold a comma
            if name not in number:
                problem = f"the label {name!r} is not in the class list" if name else "a label is empty"
                raise UserError(f"{csv}, clip {table.fname.iloc[row]}: {problem}; correct that line")
            truth[row, number[name]] = True
    usage = table["usage"].to_numpy(dtype=str) if "usage" in known else None
    folds = _number_folds(table[fold], csv) if fold in known else None
    groups = _no_value_empty(table[group]).to_numpy(dtype=str) if group in known else None
    return Subset(folder, unique(table.fname, csv), truth, usage, folds, groups)


def split_labels(text: str) -> list[str]:
    """The labels of a field, which commas separate."""
    return [name.strip() for name in text.split(",")]


def _one_row_each(table: pd.DataFrame, csv: Path, known: list[str]) -> pd.DataFrame:
    """A row for each clip, with the labels of all of its rows.  Raises UserError where these contradict."""
    clips = table.groupby("fname", sort=False)
    for column in known:
        differ = clips[column].nunique() > 1
        if differ.any():
            raise UserError(f"{csv}: the rows of {differ.idxmax()} differ in {column}; give all of them the same")
    return clips.agg({"labels": ",".join} | dict.fromkeys(known, "first")).reset_index()


def read_verified(csv: Path, folder: Path) -> tuple[list[str], dict[str, Subset]]:
    """The classes, by name, and train_curated and train_noisy of a table, which tells them by `manually_verified`.

    Clips of one Freesound id, where the table has them, are a group.
    """
    table = read_csv(csv, ["fname", "label", "manually_verified"])
    class_names = sorted(set(table.label.str.strip()) - {""})
    curated = table.manually_verified.str.strip().map(VERIFIED)
    if curated.isna().any():
        row = table.loc[curated.isna().idxmax()]
        raise UserError(f"{csv}, clip {row.fname}: manually_verified is {row.manually_verified!r}; it must be 1 or 0")
    verified, clips = curated.to_numpy(bool), clips_of(table, csv, folder, class_names, "label", group="freesound_id")
    return class_names, {"train_curated": clips.select(verified), "train_noisy": clips.select(~verified)}


def _no_value_empty(column: pd.Series) -> pd.Series:
    return column.mask(column.str.lower().isin(NO_VALUE), "")


def _number_folds(column: pd.Series, csv: Path) -> np.ndarray:
    """Names of folds -> (N,) numbers from 0, in their order; -1 where the field names none, as no fold holds it out."""
    texts = _no_value_empty(column)
    names = sorted(set(texts) - {""}, key=lambda name: (0, int(name), name) if name.isdigit() else (1, 0, name))
    if not names or (len(names) == 1 and (texts != "").all()):
        problem = f"holds out all clips in fold {names[0]}; none is left to train" if names else "names no fold"
        raise UserError(f"{csv}: the column {column.name!r} {problem}; correct it, or take it out")
    return texts.map({name: i for i, name in enumerate(names)}).fillna(-1).to_numpy(int)


def classes_by_number(table: pd.DataFrame, number: str, name: str, csv: Path) -> list[str]:
    """Class names in the order of their numbers.  Raises UserError where a name and a number are no pair."""
    pairs = table[[number, name]].drop_duplicates()
    whole = pairs[number].str.fullmatch(r"\s*\d+\s*").all()
    if not whole or pairs[number].duplicated().any() or pairs[name].duplicated().any():
        raise UserError(f"{csv}: each {name} must have one {number} of its own, a whole number; correct that")
    return pairs.sort_values(number, key=lambda numbers: numbers.astype(int))[name].tolist()


def unique(fnames: pd.Series, csv: Path) -> list[str]:
    """File names as a list.  Raises UserError if one is empty or there twice."""
    doubled = fnames[fnames.duplicated()]
    if len(doubled):
        raise UserError(f"{csv}: lists {doubled.iloc[0]} more than once; delete all but one of its lines")
    if (fnames == "").any():
        raise UserError(f"{csv}: a row has no file name; give it one, or delete it")
    return fnames.tolist()
