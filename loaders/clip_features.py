"""One sound file -> its features.  What each worker of the feature step runs, so it imports no more than that needs."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np

from loaders.audio import UnusableClipError, read_mono, trim_silence, wrap
from loaders.pcen import AudioSettings, pcen_mel


def clip_features(path: Path, settings: AudioSettings, remarks: list[str] | None = None) -> np.ndarray:
    """Features of one file, (frames, n_mels) float16.  Raises UnusableClipError with the reason.

    remarks: gets what is odd about a file that can be used.
    """
    return sample_features(read_mono(path, settings.sampling_rate, settings.cancel_db, remarks), settings)


def sample_features(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """As clip_features, of the samples (n,) of a whole clip."""
    samples = wrap(trim_silence(samples, settings.trim_db), round(settings.shortest * settings.sampling_rate))
    features = pcen_mel(samples, settings).astype(np.float16)
    if not np.isfinite(features).all():
        raise UnusableClipError("its features are not finite")
    return features


def locate(folder: Path, fname: str) -> Path:
    """Where a clip lies; as it is spelt, or else with an accented letter as one sign, or as a letter and an accent.

    Raises UnusableClipError on a name that leads out of the folder.
    """
    name = PurePosixPath(fname)
    if name.is_absolute() or ".." in name.parts or "\0" in fname:
        raise UnusableClipError("its name points outside of the data folder")
    if fname.isascii() or os.path.exists(folder / fname):  # which takes names that no file system does
        return folder / fname
    for part in name.parts:  # each may be spelt in a way of its own
        spellings = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        folder = next((folder / name for name in spellings if os.path.exists(folder / name)), folder / part)
    return folder


def try_clip(folder: Path, fname: str, settings: AudioSettings) -> tuple[np.ndarray | str, str]:
    """Features of a clip of that folder, or the reason why there are none; and what is odd about it, or ""."""
    remarks: list[str] = []
    try:
        features = clip_features(locate(folder, fname), settings, remarks)
        return features, "; ".join(remarks)
    except UnusableClipError as error:
        return str(error), ""
