"""Names that look alike: an accented letter as one sign, or as a letter and an accent (as macOS may write it)."""

import os
import unicodedata
from pathlib import Path


def look(name: str) -> str:
    """What names have in common that look alike: their composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def find_file(folder: Path, fname: str) -> Path:
    """Where a file lies whose name in a CSV may be spelt another way than on disk.

    As it is spelt, where there is no such file at all.
    """
    path = folder / fname
    if fname.isascii() or os.path.exists(path):  # which takes names that no file system does
        return path
    found = folder
    for part in Path(fname).parts:  # each may be spelt in a way of its own
        spellings = (part, look(part), unicodedata.normalize("NFD", part))
        found = next((found / name for name in spellings if os.path.exists(found / name)), found / part)
    return found if os.path.exists(found) else path
