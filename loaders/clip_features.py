"""One sound file -> its features.  What each worker of the feature step runs, so it imports no more than that needs."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np

from loaders.audio import UnusableClipError, read_mono, trim_silence, wrap
from loaders.pcen import AudioSettings, pcen_mel


def clip_features(path: Path, settings: AudioSettings) -> np.ndarray:
    """Features of one file, (frames, n_mels) float16.  Raises UnusableClipError with the reason."""
    return sample_features(read_mono(path, settings.sampling_rate), settings)


def sample_features(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """As clip_features, of the samples (n,) of a whole clip."""
    samples = wrap(trim_silence(samples, settings.trim_db), round(settings.shortest * settings.sampling_rate))
    features = pcen_mel(samples, settings).astype(np.float16)
    if not np.isfinite(features).all():
        raise UnusableClipError("its features are not finite")
    return features


def locate(folder: Path, fname: str) -> Path:
    """Where a clip lies, in whichever of the two ways its accents are written.

    Raises UnusableClipError on a name that leads out of the folder.
    """
    name = PurePosixPath(fname)
    if name.is_absolute() or ".." in name.parts or "\0" in fname:
        raise UnusableClipError("its name points outside of the data folder")
    spellings = (name, *(unicodedata.normalize(form, fname) for form in ("NFC", "NFD")))
    return next((folder / spelling for spelling in spellings if os.path.lexists(folder / spelling)), folder / name)


def try_clip(folder: Path, fname: str, settings: AudioSettings) -> np.ndarray | str:
    """Features of a clip of that folder, or the reason why there are none."""
    try:
        return clip_features(locate(folder, fname), settings)
    except UnusableClipError as error:
        return str(error)
