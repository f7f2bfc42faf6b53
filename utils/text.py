"""Text files as people save them: with a byte-order mark or in UTF-16; and JSON that names nothing twice."""

import codecs
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte-order mark.  Raises ValueError on any other."""
    data = path.read_bytes()
    with suppress(UnicodeDecodeError):
        text = data.decode("utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
        if "\0" not in text:
            return text
    raise ValueError("it is neither UTF-8 nor UTF-16 with a byte-order mark; save it as UTF-8")


def read_json(path: Path) -> Any:
    """As json.load.  Raises ValueError on a key that is there twice, too, of which json would take the last."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for i, (key, _) in enumerate(pairs):
            if key in dict(pairs[:i]):
                raise ValueError(f"the key {key!r} is there twice; delete one")
        return dict(pairs)

    return json.loads(read_text(path), object_pairs_hook=once)
