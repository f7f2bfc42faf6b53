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
    tops, files = _entries(folder)
    found = list(files)
    for top in tops:
        waiting, seen = [f"{top}/"], {os.path.realpath(folder)}
        while waiting:
            prefix = waiting.pop(0)
            real = os.path.realpath(folder / prefix)
            if real not in seen:
                folders, files = _entries(folder / prefix)
                waiting += (f"{prefix}{name}/" for name in folders)
                found += (prefix + name for name in files)
            seen.add(real)
    return sorted(name for name in found if os.path.splitext(name)[1].lower() in SUFFIXES)


def list_folders(folder: Path) -> list[str]:
    """Names of the folders, and of links to folders, in this one, sorted.  Raises UserError as `list_sounds`."""
    return sorted(_entries(folder)[0])


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of folders, links to them at the end, and of files."""
    try:
        names = [name for name in sorted(os.listdir(folder)) if not is_junk(name)]
        folders = [name for name in names if (folder / name).is_dir()]
    except PermissionError as error:
        raise UserError(f"{error.filename or folder}: permission denied; make it readable or take it away") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from None
    folders.sort(key=lambda name: (folder / name).is_symlink())  # what has two names goes by its own
    return folders, sorted({*names} - {*folders})
