"""What libsndfile knows, and FFmpeg does not or not as exactly: ADPCM and GSM in wav, VOC, NIST, MAT, PAF, HTK, XI."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from loaders.decoders.reasons import UnusableClipError

BLOCK = 1 << 18  # values read at a time


def open_known(path: Path) -> Iterator[tuple[np.ndarray, int]] | None:
    """Blocks (n, channels) float32 and the rate in Hz; None where libsndfile does not know the file."""
    try:
        file = sf.SoundFile(path)
    except sf.LibsndfileError:
        return None
    return _blocks(file)


def _blocks(file: sf.SoundFile) -> Iterator[tuple[np.ndarray, int]]:
    with file:
        try:
            while len(block := file.read(max(BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
                yield block, file.samplerate
        except sf.LibsndfileError as error:
            raise UnusableClipError(f"not readable as audio: {error.error_string.strip()}; replace it") from None
