"""Compressed files -> blocks of samples of each of the files that were joined in one, and what of them is missing."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from loaders.decoders.chunks import read_at
from loaders.decoders.joins import NO_END, Slice, find_spans
from loaders.decoders.reasons import UnusableClipError, shortfall
from loaders.decoders.sndfile import Known, open_known

BETTER = (b"fLaC", b"ID3", b"\xff", b"\xf0\x7e")  # FLAC, MP3 and SDS, of which libsndfile drops or prints what is odd


def read_compressed(
    file: BinaryIO, held: int, unfinished: bool, remarks: list[str]
) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32 and their rates in Hz, of an open file.

    held: bytes of sound that it is known to hold, or 0; unfinished: whether its header tells another number.
    remarks: gets what is odd when the last block has come.  Raises UnusableClipError if nothing of it can be read.
    """
    spans = find_spans(file, os.fstat(file.fileno()).st_size)
    said, reasons, seconds, promised, read = [], [], 0.0, 0.0, 0
    for span in spans:
        exact = not unfinished and not span.damaged and not read_at(file, span.start, 4).startswith(BETTER)
        known = open_known(Slice(file, span)) if exact else None
        if known is None:
            from loaders.decoders.ffmpeg import Reader  # a tenth of a second of imports that few files should pay for
        reader = Reader(file, span) if known is None else Known(known)
        yield from reader.blocks()
        said += [*reader.remarks, *([] if span.ends else [NO_END])]
        reasons += filter(None, [reader.reason])
        seconds, promised, read = seconds + reader.seconds, promised + reader.promised, read + reader.bytes
    if not seconds:
        raise UnusableClipError(reasons[0] if reasons else "holds no samples")
    if reasons:
        said.append(f"{len(reasons)} of the {len(spans)} files that were joined in it cannot be read")
    said += shortfall(seconds, promised, why="it was cut off or is damaged")
    if read and held - read > 0.01 * held:
        said.append(f"{1 - read / held:.0%} of the sound that it holds cannot be read")
    remarks += dict.fromkeys(said)
