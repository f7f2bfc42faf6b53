"""The sound files of a folder, at any depth: one rule for data sets in folders and for tag.py."""

import os
from pathlib import Path

from utils.errors import UserError

JUNK = {"__MACOSX", "__pycache__", "lost+found"}  # and every name that begins with a dot, .ipynb_checkpoints say
SUFFIXES = {  # of what libsndfile and FFmpeg read
    ".3g2", ".3ga", ".3gp", ".8svx", ".aac", ".aax", ".ac3", ".adts", ".aif", ".aifc", ".aiff", ".alac", ".amr", ".ape",
    ".au", ".avi", ".avr", ".awb", ".bwav", ".bwf", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".flac", ".gsm", ".htk",
    ".iff", ".ircam", ".m4a", ".m4b", ".m4r", ".mat4", ".mat5", ".mka", ".mkv", ".mov", ".mp1", ".mp2", ".mp3", ".mp4",
    ".mpc", ".mpc2k", ".mpga", ".nist", ".oga", ".ogg", ".opus", ".paf", ".pvf", ".qcp", ".ra", ".raw", ".rf64", ".rm",
    ".sd2", ".sds", ".sf", ".shn", ".snd", ".sph", ".spx", ".svx", ".tak", ".tta", ".voc", ".vox", ".w64", ".wav",
    ".wave", ".wavex", ".weba", ".webm", ".wma", ".wv", ".wve", ".xi",
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
        for name in sorted(os.listdir(folder)):
            path = folder / name
            if not is_junk(name):
                (files if not path.is_dir() else links if path.is_symlink() else folders).append(name)
    except PermissionError as error:
        raise UserError(f"{error.filename or folder}: permission denied; make it readable or take it away") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from None
    return files, folders, links


def _is_sound(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
