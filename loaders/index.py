"""Where a subset's features lie and what their index says.  The feature step imports it, so torch stays out."""

import json
from pathlib import Path

import numpy as np

from loaders.pcen import AudioSettings
from utils.errors import UserError

FORMAT = 2


def features_dir(features_path: Path, settings: AudioSettings) -> Path:
    """Where features of these settings lie; those of other rates and mel counts lie beside."""
    return features_path / f"{settings.sampling_rate}_{settings.n_mels}"


def read_index(path: Path) -> dict | None:
    """An index that a feature run wrote, or None.

    It holds format, digest, array (the file's name), clips [[fname, first row, frames, digest, bytes, mtime_ns]],
    unusable [[fname, reason]] and remarks [[fname, what is odd about a clip that is used nevertheless]].
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise UserError(f"{path} is damaged; delete it and compute the features again") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise UserError(f"{path} is of another version of this program; delete it and compute the features again")
    return index


def holds(path: Path, frames: int, n_mels: int) -> bool:
    """Whether a whole array of features (frames, n_mels) float16 is there, by its header and its size alone."""
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0(file)
            size = file.tell() + 2 * frames * n_mels
        return header == ((frames, n_mels), False, np.float16) and path.stat().st_size == size
    except (OSError, ValueError):
        return False
