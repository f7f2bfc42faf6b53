"""What libsndfile reads exactly: plain samples without their header, Ogg, ADPCM and GSM in wav, VOC, NIST, MAT, PAF."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile as sf

from loaders.decoders.reasons import Heard
from loaders.decoders.slices import Slice

BLOCK = 1 << 18  # values read at a time
LONGEST = 1e7  # seconds: what promises more counts from elsewhere than its own beginning
WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1,
          "ALAW": 1}  # bytes of a plain sample  # fmt: skip


def open_known(source: Slice, **plain: Any) -> sf.SoundFile | None:
    """The open file, None where libsndfile does not know it.  plain: as `plain_samples` gives it."""
    try:
        return sf.SoundFile(source, **plain)
    except sf.LibsndfileError:
        return None


def plain_samples(file: sf.SoundFile) -> dict[str, Any] | None:
    """What libsndfile needs to read the samples of a file without its header; None where they are compressed."""
    if file.subtype not in WIDTHS:
        return None
    order = file.endian if file.endian != "FILE" else "BIG" if file.format in ("AIFF", "CAF", "AU") else "LITTLE"
    how = {"format": "RAW", "endian": order, "subtype": file.subtype}
    return how | {"samplerate": file.samplerate, "channels": file.channels}


def read_known(file: sf.SoundFile, heard: Heard) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32 and the rate in Hz, to the end."""
    with file:
        try:
            while len(block := file.read(max(BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
                heard.seconds += len(block) / file.samplerate
                yield block, file.samplerate
        except sf.LibsndfileError:
            heard.reason = "not readable as audio: it is damaged; replace it, or take it away"
    promised = file.frames / file.samplerate
    heard.promised = max(promised if promised < LONGEST else 0.0, heard.seconds)
