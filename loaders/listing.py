"""The sound files of a folder, at any depth: one rule for data sets in folders and for tag.py."""

import os
from pathlib import Path

import soundfile as sf

from utils.errors import UserError

JUNK = {"__MACOSX", "__pycache__", "lost+found"}  # and every name that begins with a dot, .ipynb_checkpoints say
SUFFIXES = {f".{name.lower()}" for name in sf.available_formats()} | {  # of what libsndfile and FFmpeg read
    ".aif", ".aifc", ".snd", ".8svx", ".iff", ".mp1", ".mp2", ".mpga", ".oga", ".opus", ".sf", ".wave", ".bwf",
    ".bwav", ".sph", ".m4a", ".m4b", ".m4r", ".mp4", ".3gp", ".3g2", ".3ga", ".aac", ".adts", ".ac3", ".eac3", ".dts",
    ".alac", ".wma", ".amr", ".awb", ".ape", ".wv", ".tta", ".tak", ".shn", ".mpc", ".mka", ".weba", ".webm", ".ra",
    ".rm", ".gsm", ".spx", ".dsf", ".dff", ".aax", ".qcp", ".vox", ".mov", ".mkv", ".avi",
}  # fmt: skip


def is_junk(name: str) -> bool:
    """Whether a file or folder of that name is what a system or a tool left there, and no clip and no class."""
    return name.startswith(".") or name in JUNK


def list_sounds(folder: Path) -> list[str]:
    """Sound files by their names relative to the folder, with slashes, sorted.

    By suffix: sound, and video, which may have some; reading gives the reason where it cannot be used.  Links are
    followed.  No folder is entered twice below the same entry of `folder`, so a loop of links ends, while two
    labels may be links to one folder.  Raises UserError on a folder that cannot be listed.
    """
    root = os.path.realpath(folder)
    files, folders, links = _entries(folder)
    found = [name for name in files if _is_sound(name)]
    for name in folders + links:
        found += (f"{name}/{inside}" for inside in _sounds_below(folder / name, {root}))
    return sorted(found)


def list_folders(folder: Path) -> list[str]:
    """Names of the folders, and of links to folders, in this one, sorted.  Raises UserError as `list_sounds`."""
    _, folders, links = _entries(folder)
    return sorted(folders + links)


def _sounds_below(top: Path, seen: set[str]) -> list[str]:
    found, waiting, links_waiting = [], [""], []
    while waiting or links_waiting:  # links last: what has two names within `top` goes by its own
        prefix = (waiting or links_waiting).pop()
        real = os.path.realpath(top / prefix)
        if real in seen:
            continue
        seen.add(real)
        files, folders, links = _entries(top / prefix)
        found += (prefix + name for name in files if _is_sound(name))
        waiting += (f"{prefix}{name}/" for name in folders)
        links_waiting += (f"{prefix}{name}/" for name in links)
    return found


def _entries(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Sorted names of files, of folders, and of links to folders."""
    files, folders, links = [], [], []
    try:
        with os.scandir(folder) as listed:
            for entry in sorted(listed, key=lambda entry: entry.name):
                if not is_junk(entry.name):
                    kind = (links if entry.is_symlink() else folders) if _is_folder(entry) else files
                    kind.append(entry.name)
    except PermissionError as error:
        raise UserError(f"{error.filename or folder}: permission denied; make it readable or take it away") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from None
    return files, folders, links


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except PermissionError:
        raise
    except OSError:  # a link that leads to itself is no folder; reading it gives the reason
        return False


def _is_sound(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
