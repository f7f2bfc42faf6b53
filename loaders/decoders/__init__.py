"""A sound file of any format -> blocks of samples.  Its content decides who reads it, never its suffix.

spans: the files that were joined in it; chunks: where in them the sound lies; slices: their bytes.  sndfile: what
libsndfile reads exactly and to its end; ffmpeg: the rest.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from loaders.decoders.reasons import ROUNDED, Heard, UnusableClipError
from loaders.decoders.slices import Slice, Span, read_at
from loaders.decoders.sndfile import open_known, read_known
from loaders.decoders.spans import find_spans

BETTER = (b"fLaC", b"ID3", b"\xff", b"\xf0\x7e")  # FLAC, MP3 and SDS, of which libsndfile drops or prints what is odd
PIPED = 1 << 16  # a claim this close below a multiple of 2 GiB: the program could not go back to the header
NO_END = "it was cut off or never finished: its end is missing, and how much of it is not known"


def decode(path: Path, remarks: list[str]) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32, within [-1, 1] at full scale, each with its sampling rate in Hz.

    Channels and rate change where files were joined.  No length that a header claims is believed: a file is read to
    its end.  remarks: gets what is odd, and how much cannot be read, when the last block has come.  Raises
    UnusableClipError with the reason.
    """
    said, reasons, seconds, promised = [], [], 0.0, 0.0
    with open(path, "rb") as file:
        spans = find_spans(file)
        for span in spans:
            yield from _read(file, span, heard := Heard())
            if heard.seconds:
                said += heard.remarks + _about_sizes(span, heard)
                if not span.ends or (heard.cut and heard.promised < heard.seconds + ROUNDED):
                    said.append(NO_END)
            elif heard.reason:
                reasons.append(heard.reason)
            seconds, promised = seconds + heard.seconds, promised + heard.promised
    if not seconds:
        raise UnusableClipError(reasons[0] if reasons else "holds no samples")
    if reasons:
        said.append(f"{len(reasons)} of the {len(spans)} files that were joined in it cannot be read")
    if promised - seconds >= min(1.0, 0.01 * promised):
        said.append(f"it was cut off or is damaged: holds {seconds:.2f} of its {promised:.2f} seconds")
    remarks += dict.fromkeys(said)


def _read(file: BinaryIO, span: Span, heard: Heard) -> Iterator[tuple[np.ndarray, int]]:
    whole, sound = Slice(file, span.start, span.stop), Slice(file, span.at, span.at + span.size)
    exact = not span.damaged and span.size in (0, span.claimed) and not read_at(file, span.start, 4).startswith(BETTER)
    known = open_known(sound, **span.plain) if span.plain else open_known(whole) if exact else None
    if known:
        yield from read_known(known, heard)
    else:
        from loaders.decoders.ffmpeg import read_compressed  # a tenth of a second of imports that few files need

        yield from read_compressed(whole, span.told, heard)


def _about_sizes(span: Span, heard: Heard) -> list[str]:
    """What is odd about the bytes that a header claims; those that are missing become seconds that are promised."""
    if not span.size:
        return []
    claimed, held = span.claimed * heard.seconds / span.size, f"{heard.seconds:.2f}"  # seconds
    if heard.bytes:
        heard.promised = max(heard.promised, span.size / heard.bytes * heard.seconds)
    if span.claimed <= 0:
        return [f"its header was never finished; it is read to its end, {held} seconds"]
    if span.size > span.claimed:
        return [f"its header promises {claimed:.2f} seconds; all {held} that it holds are read"]
    if -span.claimed % (1 << 31) >= PIPED:
        heard.promised = max(heard.promised, claimed)
    return []
