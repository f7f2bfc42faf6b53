"""A sound file of any format -> blocks of samples.  Its content decides who reads it, never its suffix.

headers, chunks: where the sound of a wav, AIFF, CAF or AU file lies; pcm: that sound, where it is plain numbers.
sndfile: what of the rest libsndfile knows, exactly.  ffmpeg: everything else; joins: several files of those in one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from loaders.decoders.headers import find_parts
from loaders.decoders.pcm import read_pcm

BETTER = (b"fLaC", b"OggS", b"ID3", b"\xff")  # how files begin that libsndfile reads, but not to their end


def decode(path: Path, remarks: list[str]) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32, within [-1, 1] at full scale, each with its sampling rate in Hz.

    Channels and rate change where files were joined.  No length that a header claims is believed: a file is read to
    its end.  remarks: gets what is odd, and how much cannot be read, when the last block has come.  Raises
    UnusableClipError with the reason, at once or where the file is broken.
    """
    with open(path, "rb") as file:
        parts = find_parts(file)
        remarks += [remark for part in parts for remark in part.remarks]
        if parts and all(part.format.coding for part in parts):
            for part in parts:
                yield from ((block, part.format.rate) for block in read_pcm(file, part))
            return
        file.seek(0)
        if not file.read(4).startswith(BETTER) and not remarks:
            from loaders.decoders.sndfile import open_known

            if known := open_known(path):
                yield from known
                return
        from loaders.decoders.ffmpeg import read_compressed  # a tenth of a second of imports that a wav should not pay

        yield from read_compressed(file, sum(part.size for part in parts), remarks)
