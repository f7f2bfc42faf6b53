"""Probabilities of one fold on disk: written by test.py, read by merge.py, self-describing, never unpickled."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predicting.runs import FOLD_KEYS
from utils.atomic import atomic_write
from utils.errors import UserError


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, C) float32 of N clips, and what they are of."""

    probabilities: np.ndarray
    fnames: list[str]
    class_names: list[str]
    args: dict[str, Any]  # of the training and of test.py

    def aligned(self, fnames: list[str], class_names: list[str]) -> np.ndarray:
        """The probabilities of these clips and classes, by name.  Raises KeyError on a name that is not there."""
        rows = {name: i for i, name in enumerate(self.fnames)}
        columns = {name: i for i, name in enumerate(self.class_names)}
        return self.probabilities[np.ix_([rows[f] for f in fnames], [columns[c] for c in class_names])]


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write the .npz, and beside it the same table as CSV."""
    fnames, class_names = predictions.fnames, predictions.class_names
    with atomic_write(path.with_suffix(".csv"), "w") as file:
        write_table(file, fnames, class_names, predictions.probabilities)
    names = {"fnames": np.array(fnames, dtype=str), "class_names": np.array(class_names, dtype=str)}
    with atomic_write(path) as file:  # last, so that the CSV is there when this one is
        np.savez(file, probabilities=predictions.probabilities, args=np.array(json.dumps(predictions.args)), **names)


def load_predictions(path: Path) -> Predictions:
    """Read and check a file of save_predictions.  Raises UserError that names it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [file[key].tolist() for key in ("fnames", "class_names")]
            held = Predictions(file["probabilities"], *names, json.loads(str(file["args"])))
        "".join(held.fnames + held.class_names)  # TypeError on a name that is no string
        whole = (
            held.probabilities.shape == tuple(map(len, names)) == tuple(len(set(each)) for each in names)
            and ((held.probabilities >= 0) & (held.probabilities <= 1)).all()  # NaN is neither
            and all(isinstance(held.args[key], kind) for key, kind in FOLD_KEYS.items())
        )
    except Exception:  # a broken or hostile file can fail in any way
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged or not a prediction file of test.py; delete it or predict that fold again")
    return held


def write_table(file: Any, fnames: list[str], class_names: list[str], probabilities: np.ndarray) -> None:
    """CSV in the layout of a submission: fname and one column per class."""
    table = pd.DataFrame(probabilities, index=pd.Index(fnames, name="fname"), columns=class_names)
    table.to_csv(file, float_format="%.7g")
