"""The sound files of a folder, at any depth: one rule for data sets in folders and for tag.py."""

import os
from pathlib import Path

JUNK = {"__MACOSX", "__pycache__", "lost+found"}  # and every name that begins with a dot, .ipynb_checkpoints say
SUFFIXES = {  # of what libsndfile and FFmpeg read
    ".3g2", ".3ga", ".3gp", ".8svx", ".aac", ".aax", ".ac3", ".adts", ".aif", ".aifc", ".aiff", ".alac", ".amr", ".ape",
    ".au", ".avi", ".avr", ".awb", ".bwav", ".bwf", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".flac", ".gsm", ".htk",
    ".iff", ".ircam", ".m4a", ".m4b", ".m4r", ".mat4", ".mat5", ".mka", ".mkv", ".mov", ".mp1", ".mp2", ".mp3", ".mp4",
    ".mpc", ".mpc2k", ".mpga", ".nist", ".oga", ".ogg", ".opus", ".paf", ".pvf", ".qcp", ".ra", ".raw", ".rf64", ".rm",
    ".sd2", ".sds", ".sf", ".shn", ".snd", ".sph", ".spx", ".svx", ".tak", ".tta", ".voc", ".vox", ".w64", ".wav",
    ".wave", ".wavex", ".weba", ".webm", ".wma", ".wv", ".wve", ".xi",
}  # fmt: skip


def list_sounds(folder: Path) -> list[str]:
    """Sound files by their names relative to the folder, with slashes, sorted.

    By suffix: sound, and video, which may have some; reading gives the reason where it cannot be used.  A link to a
    folder elsewhere is followed, the first that leads there.  Raises OSError on a folder that cannot be listed.
    """
    root, seen, found = Path(os.path.realpath(folder)), set(), []

    def is_new(path: str) -> bool:
        if not os.path.islink(path):
            return True
        target = Path(os.path.realpath(path))
        known = target in seen or target.is_relative_to(root) or root.is_relative_to(target)  # it may lead in circles
        seen.add(target)
        return not known

    for top, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        folders[:] = [name for name in _no_junk(folders) if is_new(os.path.join(top, name))]
        found += [Path(top, name).relative_to(folder).as_posix() for name in _no_junk(files)]
    return sorted(name for name in found if os.path.splitext(name)[1].lower() in SUFFIXES)


def list_folders(folder: Path) -> list[str]:
    """Names of the folders, and of links to folders, in this one, sorted.  Raises OSError as `list_sounds`."""
    return _no_junk(next(os.walk(folder, onerror=_fail))[1])


def _no_junk(names: list[str]) -> list[str]:
    """Without what a system or a tool left there, which is no clip and no class."""
    return sorted(name for name in names if not name.startswith(".") and name not in JUNK)


def _fail(error: OSError) -> None:
    raise error
