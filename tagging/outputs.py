"""What tag.py prints and writes of the files that it heard."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tagging.tagger import LONG, Tagged
from tagging.timeline import clock
from utils.atomic import atomic_write, try_outputs
from utils.errors import MisuseError, one_line


def describe(file: Tagged, class_names: list[str], top: int, thresholds: np.ndarray | None = None) -> str:
    """One line: "x.wav: Bark 0.912, Hum 0.034"; of a long recording also each label's best second.

    thresholds: (C,); where no score reaches its own, the line says so.
    """
    if np.isnan(file.scores).all():
        return f"{one_line(str(file.path))}: silence"
    labels = []
    for i in np.argsort(-file.scores, kind="stable")[:top]:
        label = f"{one_line(class_names[i], 100)} {file.scores[i]:.3f}"
        if file.timeline is not None and len(file.timeline.scores) > LONG:
            second = int(np.nanargmax(file.timeline.scores[:, i]))
            label += f" ({file.timeline.scores[second, i]:.3f} at {clock(second)})"
        labels.append(label)
    none = ""
    if thresholds is not None and (np.nan_to_num(peaks(file)) < thresholds).all():
        none = f"none of the {len(class_names)} labels; closest: "
    return f"{one_line(str(file.path))}: {none}{', '.join(labels)}"


def peaks(file: Tagged) -> np.ndarray:
    """The scores (C,) that tell whether a label is there: of a long recording those of its best rows."""
    return file.scores if file.timeline is None else np.fmax(file.scores, np.nanmax(file.timeline.scores, axis=0))


def to_table(files: list[Tagged], class_names: list[str]) -> pd.DataFrame:
    """A row per file that has scores, by its path, and a column per class; NaN where a file is silent."""
    scored = [file for file in files if file.scores is not None]
    index = pd.Index([str(file.path) for file in scored], name="fname", dtype=str)
    return pd.DataFrame([file.scores for file in scored], index, class_names, np.float32)


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """The table in the layout of test.py's; the cells of a silent file are empty."""
    with atomic_write(path, "w") as file:
        table.to_csv(file, float_format="%.7g")


def write_json(path: str | Path, table: pd.DataFrame) -> None:
    """A list of {"fname", "silence", "scores"}; the scores of a silent file are null."""
    records = []
    for fname, row in table.iterrows():
        silence = bool(row.isna().all())
        scores = {name: float(f"{score:.7g}") for name, score in row.items()}
        records.append({"fname": fname, "silence": silence, "scores": None if silence else scores})
    with atomic_write(path, "w") as file:
        json.dump(records, file, ensure_ascii=False, allow_nan=False, indent=1)


def name_outputs(paths: list[Path], flag: str, where: str, named: list[str], suffix: str) -> dict[Path, Path]:
    """Where each file's own output goes: the file that the user names, or in that folder under the sound's own name.

    suffix: of such outputs, as in ".png".  A sound keeps the folders below the one that holds all files and folders
    that were `named`.
    """
    if where.lower().endswith(suffix):
        if len(paths) > 1:
            raise MisuseError(f"{flag} {where}: there are {len(paths)} files; name a folder, for a {suffix} of each")
        return {path: Path(where) for path in paths}
    tops = [os.path.abspath(path if os.path.isdir(path) else os.path.dirname(path)) for path in named]
    top = os.path.commonpath(tops)
    return {path: Path(where, f"{os.path.relpath(path, top)}{suffix}") for path in paths}


def name_tracks(paths: list[Path], where: str | None, named: list[str]) -> dict[Path, Path]:
    """Where the events of each file go: all into one table, or those of each into a label track of its own."""
    if where is None:
        return {}
    if Path(where).suffix and not where.lower().endswith(".txt"):
        return dict.fromkeys(paths, Path(where))
    return name_outputs(paths, "--events", where, named, ".txt")


def check_outputs(outputs: dict[str, list[Path]], inputs: Iterable[Path]) -> None:
    """Refuse what could not be written hours later, and an output over another one or over what is read.

    outputs: by the flag that names them.
    """
    taken = {os.path.realpath(path) for path in inputs}
    for flag, paths in outputs.items():
        try_outputs(flag, *paths)
        for output in paths:
            if os.path.realpath(output) in taken:
                raise MisuseError(f"{output} would be overwritten; write to another file")
            taken.add(os.path.realpath(output))
