"""What tag.py prints and writes of the files that it heard."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from predicting.prediction_file import write_table
from tagging.tagger import LONG, Tagged
from tagging.timeline import clock
from utils.atomic import atomic_write, try_outputs
from utils.errors import MisuseError, one_line


def describe(file: Tagged, class_names: list[str], top: int) -> str:
    """One line: "x.wav: Bark 0.912, Hum 0.034"; of a long recording also each label's best second."""
    if np.isnan(file.scores).all():
        return f"{one_line(str(file.path))}: silence"
    labels = []
    for i in np.argsort(-file.scores, kind="stable")[:top]:
        label = f"{one_line(class_names[i], 100)} {file.scores[i]:.3f}"
        if file.timeline is not None and len(file.timeline.scores) > LONG:
            second = int(np.nanargmax(file.timeline.scores[:, i]))
            label += f" ({file.timeline.scores[second, i]:.3f} at {clock(second)})"
        labels.append(label)
    return f"{one_line(str(file.path))}: {', '.join(labels)}"


def write_csv(path: str | Path, files: list[Tagged], class_names: list[str]) -> None:
    """A row per file and a column per class, as test.py's; the cells of a silent file are empty."""
    with atomic_write(path, "w") as out:
        write_table(out, [str(file.path) for file in files], class_names, _scores(files, class_names))


def write_json(path: str | Path, files: list[Tagged], class_names: list[str]) -> None:
    """A list of {"fname", "silence", "scores"}; the scores of a silent file are null."""
    records = []
    for file, row in zip(files, _scores(files, class_names), strict=True):
        silence = bool(np.isnan(row).all())
        scores = {name: float(f"{score:.7g}") for name, score in zip(class_names, row, strict=True)}
        records.append({"fname": str(file.path), "silence": silence, "scores": None if silence else scores})
    with atomic_write(path, "w") as out:
        json.dump(records, out, ensure_ascii=False, allow_nan=False, indent=1)


def _scores(files: list[Tagged], class_names: list[str]) -> np.ndarray:
    return np.array([file.scores for file in files], np.float32).reshape(-1, len(class_names))


def name_pictures(paths: list[Path], timeline: str | None, folders: Iterable[Path] = ()) -> dict[Path, Path]:
    """Where each file's timeline goes: the .png that the user names, or in that folder under the file's own name.

    A file that was found in one of `folders` keeps the folders below that one.
    """
    if timeline is None:
        return {}
    if timeline.lower().endswith(".png"):
        if len(paths) > 1:
            raise MisuseError(f"--timeline {timeline}: there are {len(paths)} files; name a folder for their pictures")
        return {path: Path(timeline) for path in paths}
    pictures: dict[Path, Path] = {}
    taken: set[Path] = set()
    folders = list(folders)
    for path in paths:
        root = next((folder for folder in folders if folder in path.parents), path.parent)
        *above, stem = map(_printable, path.relative_to(root).parts)
        name, number = Path(*above, stem), 1
        while (lower := Path(str(name).lower())) in taken:
            number += 1
            name = Path(*above, f"{stem} ({number})")
        taken.add(lower)
        pictures[path] = Path(timeline) / f"{name}.png"
    return pictures


def _printable(name: str) -> str:
    """A name that any file system takes, with room for a suffix."""
    name = "".join(letter if letter.isprintable() else "_" for letter in name)
    return name.encode("utf-8", "replace")[:180].decode("utf-8", "ignore")


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
