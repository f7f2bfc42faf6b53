"""Clips on disk -> batches on the device.  Knows no network and no loss.

A data set in a known layout is a line of config.json; another layout is a reader in layouts/.
"""

import json
from pathlib import Path

from utils.errors import MisuseError, UserError

CONFIG = Path("config.json")


def get_data_path(name: str) -> Path:
    """Folder of the data set's audio and CSVs; `~` is the home of whoever runs this."""
    return _folder(name, _entry(name)["data_path"])


def get_features_path(name: str) -> Path:
    """Folder of the data set's features: `features_path` of config.json, else `features` beside the audio."""
    entry = _entry(name)
    given = entry.get("features_path")
    return _folder(name, given) if given else get_data_path(name) / "features"


def _folder(name: str, path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"config.json: {name} lies in {path}, but there is no such home folder; write the path in full"
        ) from None


def _entry(name: str) -> dict[str, str]:
    try:
        config = json.loads(CONFIG.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no config.json in {Path.cwd()}; run this from the repository's root") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"config.json is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError('config.json must hold {"NAME": {"data_path": "FOLDER"}}')
    if name not in config:
        raise MisuseError(f"--dataset {name}: not in config.json, which has {', '.join(config)}; add it there")
    entry = config[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("data_path"), str):
        raise UserError(f'config.json: {name} needs {{"data_path": "FOLDER"}}')
    if not isinstance(entry.get("features_path", ""), str):
        raise UserError(f"config.json: features_path of {name} is not the name of a folder")
    for other, its in config.items():  # features lie by name of their clips, which two data sets may share
        same = isinstance(its, dict) and its.get("features_path") == entry.get("features_path")
        if same and "features_path" in entry and its.get("data_path") != entry["data_path"]:
            raise UserError(f"config.json: {name} and {other} share a features_path; give each a folder of its own")
    if not set(entry) <= {"data_path", "features_path"}:
        raise UserError(f"config.json: {name} may have data_path and features_path, not {', '.join(entry)}")
    return entry
