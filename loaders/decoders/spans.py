"""The files of which a file is made: several were joined end to end, and each header tells only of its own."""

import os
import re
from typing import BinaryIO

from loaders.decoders.chunks import find_in_chunks
from loaders.decoders.slices import WIDEST, Span, find_all, read_at

NEAR = 4096  # bytes between a file's beginning and the mark in it, at most
MPEG = rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"  # a frame of layer III
XING = MPEG + rb"..(?:.{9}|.{17}|.{32})(?:Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f]"  # tells how many follow
FLAC = rb"fLaC[\0\x80]\0\0\x22"
OGG = rb"OggS\0[\x02\x03].{12}\0\0\0\0"  # the first page of a stream
MARKS = {MPEG: XING, FLAC: FLAC, OGG: OGG}  # how a file of a kind begins: what marks each that was joined


def find_spans(file: BinaryIO) -> list[Span]:
    """The files of which an open file is made, in their order: wav, MP3, FLAC and Ogg; any other is one file."""
    end, at, spans = os.fstat(file.fileno()).st_size, 0, []
    while at < end:
        spans += [found] if (found := find_in_chunks(file, at, end)) else _joined(file, at, end)
        at = spans[-1].stop
    return spans


def _joined(file: BinaryIO, begin: int, end: int) -> list[Span]:
    """Files that are no wavs, from `begin` on to the end; one of all bytes where it is not known how they begin."""
    at = _behind_tags(file, begin, end)
    head = read_at(file, at, WIDEST)
    pattern = next((mark for start, mark in MARKS.items() if re.match(start, head, re.DOTALL)), b"")
    starts = [at if at < end else begin]
    told = not pattern
    for place in find_all(file, pattern, at, end) if pattern else ():
        if place >= starts[-1] + NEAR:  # else another stream of the same file
            starts.append(place)
        told |= place < at + NEAR
    spans = [Span(*ends) for ends in zip(starts, [*starts[1:], end], strict=True)]
    spans[0].told = told
    return spans


def _behind_tags(file: BinaryIO, at: int, end: int) -> int:
    """Where the sound begins behind tags of ID3, of which there may be several."""
    while at < end and (head := read_at(file, at, 10))[:3] == b"ID3" and len(head) == 10:
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return at
