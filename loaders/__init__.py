"""Clips on disk -> batches on the device.  Knows no network and no loss.

A data set in a known layout is a line of config.json; another layout is a reader in layouts/.
"""

import json
from os.path import abspath
from pathlib import Path
from typing import Any

from utils.errors import MisuseError, UserError

CONFIG = Path("config.json")
KEYS = ("data_path", "features_path")  # of an entry


def get_data_path(name: str) -> Path:
    """Folder of the data set's audio and CSVs; `~` is the home of whoever runs this."""
    return _folder(name, _entry(_config(), name)["data_path"])


def get_features_path(name: str) -> Path:
    """Folder of the data set's features: `features_path` of config.json, else `features` beside the audio.

    Raises UserError where another data set has its features there, too: only their clips' names tell them apart.
    """
    config = _config()
    data, features = _folders(name, _entry(config, name))
    for other, entry in config.items():
        its_data, its_features = _folders(other, entry) if _is_entry(entry) else (data, features)
        if abspath(its_features) == abspath(features) and abspath(its_data) != abspath(data):
            raise UserError(f"config.json: {name} and {other} share a features_path; give each a folder of its own")
    return features


def _folders(name: str, entry: dict[str, str]) -> tuple[Path, Path]:
    """Where an entry's audio and features lie."""
    data, given = _folder(name, entry["data_path"]), entry.get("features_path")
    return data, _folder(name, given) if given else data / "features"


def _folder(name: str, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"config.json: {name} lies in {path}, but there is no such home folder; write the path in full"
        ) from None


def _config() -> dict[str, Any]:
    try:
        config = json.loads(CONFIG.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no config.json in {Path.cwd()}; run this from the repository's root") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"config.json is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError('config.json must hold {"NAME": {"data_path": "FOLDER"}}')
    return config


def _entry(config: dict[str, Any], name: str) -> dict[str, str]:
    if name not in config:
        raise MisuseError(f"--dataset {name}: not in config.json, which has {', '.join(config)}; add it there")
    entry = config[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("data_path"), str):
        raise UserError(f'config.json: {name} needs {{"data_path": "FOLDER"}}')
    if not isinstance(entry.get("features_path", ""), str):
        raise UserError(f"config.json: features_path of {name} is not the name of a folder")
    if not set(entry) <= set(KEYS):
        raise UserError(f"config.json: {name} may have data_path and features_path, not {', '.join(entry)}")
    return entry


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and "data_path" in entry and all(isinstance(entry.get(key, ""), str) for key in KEYS)
