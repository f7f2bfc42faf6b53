"""A sound file of any format -> blocks of samples.  Its content decides who reads it, never its suffix.

headers, chunks: where the sound of a wav, AIFF, CAF or AU file lies; pcm: that sound, where it is plain numbers.
joined, joins: everything else, and several files in one; by libsndfile (sndfile) what that reads to its end, by FFmpeg
(ffmpeg) the rest.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from loaders.decoders.headers import find_parts
from loaders.decoders.pcm import read_pcm


def decode(path: Path, remarks: list[str]) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32, within [-1, 1] at full scale, each with its sampling rate in Hz.

    Channels and rate change where files were joined.  No length that a header claims is believed: a file is read to
    its end.  remarks: gets what is odd, and how much cannot be read, when the last block has come.  Raises
    UnusableClipError with the reason.
    """
    with open(path, "rb") as file:
        parts = find_parts(file)
        remarks += [remark for part in parts for remark in part.remarks]
        if parts and all(part.format.coding for part in parts):
            for part in parts:
                yield from ((block, part.format.rate) for block in read_pcm(file, part))
            return
        from loaders.decoders.joined import read_compressed  # what it imports, plain samples should not pay for

        yield from read_compressed(file, sum(part.size for part in parts), bool(remarks), remarks)
