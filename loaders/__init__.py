"""Clips on disk -> batches on the device.  Knows no network and no loss.

A data set in a known layout is a line of config.json; another layout is a reader in layouts/.
"""

from contextlib import suppress
from os.path import abspath, expanduser
from pathlib import Path
from typing import Any

from utils.errors import MisuseError, UserError
from utils.text import read_json

CONFIG = Path("config.json")
ENTRY = '{"data_path": "FOLDER"}, perhaps with a "features_path" beside it'


def get_data_path(name: str) -> Path:
    """Folder of the data set's audio and CSVs; `~` is the home of whoever runs this."""
    return _folders(_config(), name)[0]


def get_features_path(name: str) -> Path:
    """Folder of the data set's features: `features_path` of config.json, else `features` beside the audio.

    Raises UserError where another data set has its features there, too: only their clips' names tell them apart.
    """
    config = _config()
    data, features = _folders(config, name)
    for other in config:
        with suppress(UserError):  # what is wrong with another entry is for those who use it
            its_data, its_features = _folders(config, other)
            if abspath(its_features) == abspath(features) and abspath(its_data) != abspath(data):
                break
    else:
        return features
    raise UserError(f"config.json: {name} and {other} share a features_path; give each a folder of its own")


def _config() -> dict[str, Any]:
    try:
        config = read_json(CONFIG)
    except FileNotFoundError:
        raise UserError(f"there is no config.json in {Path.cwd()}; run this from the repository's root") from None
    except ValueError as error:
        raise UserError(f"config.json is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f'config.json must hold {{"NAME": {ENTRY}}}')
    return config


def _folders(config: dict[str, Any], name: str) -> tuple[Path, Path]:
    """Where the audio and the features of a data set lie."""
    if name not in config:
        raise MisuseError(f"--dataset {name}: not in config.json, which has {', '.join(config)}; add it there")
    entry = config[name]
    texts = isinstance(entry, dict) and all(isinstance(path, str) for path in entry.values())
    if not texts or not {"data_path"} <= set(entry) <= {"data_path", "features_path"}:
        raise UserError(f"config.json: {name} needs {ENTRY}, and nothing else")
    data = Path(expanduser(entry["data_path"]))
    return data, Path(expanduser(entry.get("features_path") or data / "features"))
