"""Where a subset's features lie and what their index says.  The feature step imports it, so torch stays out."""

import json
from pathlib import Path

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
        index = None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        remedy = "delete it and compute the features again"
        raise UserError(f"{path} is damaged, or of another version of this program; {remedy}")
    return index
