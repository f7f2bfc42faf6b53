"""Which channels make a file's mono samples: the mean of all, or the loudest alone where they cancel out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

BLOCK = 1 << 18  # values read at a time
HEARD = 3600.0  # seconds that are judged by: a longer recording is not read twice to its end
FAINT = 1e-14  # power, 1 at full scale: half of the 24th bit; what is below may be a constant's rounding error


def sound_blocks(file: sf.SoundFile) -> Iterator[np.ndarray]:
    """All samples (n, channels) float32 of an open file, some at a time."""
    while len(block := file.read(max(BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
        yield block


def lone_channel(path: Path, cancel_db: float) -> int | None:
    """The channel, from 0, to take alone; None where the mean is at most `cancel_db` below the loudest channel.

    A microphone wired the wrong way round makes one channel the other's opposite, and their mean silence.  The
    loudness is that of the first hour, without what is constant, since that cannot be heard.
    """
    seen, sums, squares = 0, 0.0, 0.0
    with sf.SoundFile(path) as file, np.errstate(all="ignore"):  # what is not finite is refused when it is read
        if file.channels == 1:
            return None
        for block in sound_blocks(file):
            heard = np.column_stack([block, block.mean(axis=1)]).astype(np.float64)  # (n, channels + 1)
            sums, squares = sums + heard.sum(axis=0), squares + np.einsum("ij,ij->j", heard, heard)
            seen += len(block)
            if seen >= HEARD * file.samplerate:
                break
    if not seen:
        return None
    with np.errstate(all="ignore"):
        *channels, mean = squares / seen - (sums / seen) ** 2
    loudest = int(np.argmax(channels))
    cancelled = channels[loudest] > FAINT and mean < channels[loudest] * 10 ** (-cancel_db / 10)
    return loudest if cancelled else None
