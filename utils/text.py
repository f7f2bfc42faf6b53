"""Text files as people save them: with a byte-order mark or in UTF-16; and JSON that names nothing twice."""

import codecs
import json
from pathlib import Path
from typing import Any


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte-order mark.  Raises ValueError on any other."""
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("it is neither UTF-8 nor UTF-16 with a byte-order mark; save it as UTF-8")
    return text


def read_json(path: Path) -> Any:
    """As json.load.  Raises ValueError on a key that is there twice, too, of which json would take the last."""
    return json.loads(read_text(path), object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if doubled := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"the key {doubled[0]!r} is there twice; delete one")
    return dict(pairs)
