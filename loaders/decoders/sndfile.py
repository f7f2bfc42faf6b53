"""What libsndfile reads to its end, more exactly than FFmpeg: Ogg, ADPCM and GSM in wav, VOC, NIST, MAT, PAF, XI."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile as sf

BLOCK = 1 << 18  # values read at a time
LONGEST = 1e7  # seconds: what promises more counts from elsewhere than its own beginning


def open_known(source: BinaryIO) -> sf.SoundFile | None:
    """The open file, None where libsndfile does not know it."""
    try:
        return sf.SoundFile(source)
    except sf.LibsndfileError:
        return None


class Known:
    """A file that libsndfile knows, and what was read of it."""

    bytes = 0

    def __init__(self, file: sf.SoundFile) -> None:
        self.file, self.seconds, self.reason = file, 0.0, ""
        self.remarks: list[str] = []
        promised = file.frames / max(file.samplerate, 1)
        self.promised = promised if promised < LONGEST else 0.0

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Blocks (n, channels) float32 and the rate in Hz, to the end; where there is nothing, `reason` says why."""
        with self.file as file:
            try:
                while len(block := file.read(max(BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
                    self.seconds += len(block) / max(file.samplerate, 1)
                    yield block, file.samplerate
            except sf.LibsndfileError:
                self.reason = (
                    "" if self.seconds else "not readable as audio: it is damaged; replace it, or take it away"
                )
        self.promised = max(self.promised, self.seconds)
