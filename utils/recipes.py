"""Recipes: flags of train.py by name, in JSON files."""

from pathlib import Path
from typing import Any

from utils.errors import MisuseError
from utils.text import read_json

FOLDER = Path(__file__).resolve().parents[1] / "recipes"


def read_recipe(name: str) -> dict[str, Any]:
    """The flags of a recipe, by name.  name: that of a file in recipes/, without its suffix, or the path of a file.

    Raises MisuseError where there is no such recipe, or it is no JSON object.
    """
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    try:
        flags = read_json(path)
        if not isinstance(flags, dict):
            raise ValueError(f"{path} holds no JSON object")
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise MisuseError(f"--recipe {name}: choose from {known}, or give a .json file of flags: {error}") from None
    return flags
