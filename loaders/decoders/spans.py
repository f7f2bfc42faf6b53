"""The files of which a file is made: several were joined end to end, and each header tells only of its own."""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from loaders.decoders.chunks import find_in_chunks
from loaders.decoders.slices import WIDEST, Span, find_all, read_at

NEAR = 4096  # bytes between a file's tags and its first frame, at most
MPEG = rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"  # a frame of layer III
XING = MPEG + rb"..(?:.{9}|.{17}|.{32})(?:Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f]"  # tells how many follow
BEGINNINGS = (  # of files that may be joined, but for Ogg and MP3
    rb"fLaC[\0\x80]\0\0\x22",
    rb"\0\0\0[\x08-\xff]ftyp",  # m4a, mp4, 3gp, mov
    rb"#!AMR(?:-WB)?\n",
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",  # wma
    rb"TTA1[\x01-\x03]\0",
    rb"FLV\x01[\0-\x05]\0\0\0\x09",
)
BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte with its bits in reverse


def find_spans(file: BinaryIO) -> list[Span]:
    """The files of which an open file is made, in their order."""
    end, at, spans = os.fstat(file.fileno()).st_size, 0, []
    while at < end:
        spans += [found] if (found := find_in_chunks(file, at, end)) else _joined(file, at, end)
        at = spans[-1].stop
    return spans


def _joined(file: BinaryIO, begin: int, end: int) -> list[Span]:
    """Files in no chunks, from `begin` on to the end; one of all bytes where it is not known how they begin."""
    at = _behind_tags(file, begin, end)
    head = read_at(file, at, WIDEST)
    if head.startswith(b"OggS"):
        return list(_ogg_links(file, at, end))
    kinds = (pattern for pattern in BEGINNINGS if re.match(pattern, head, re.DOTALL))
    pattern = next(kinds, XING if re.match(MPEG, head) else b"")
    starts = list(find_all(file, pattern, at, end)) if pattern else []
    told = bool(starts) and starts[0] < at + NEAR
    starts = [at if at < end else begin, *starts[told:]]
    spans = [Span(*ends) for ends in zip(starts, [*starts[1:], end], strict=True)]
    spans[0].told = told or not pattern
    return spans


def _behind_tags(file: BinaryIO, at: int, end: int) -> int:
    """Where the sound begins behind tags of ID3, of which there may be several."""
    while at < end and (head := read_at(file, at, 10))[:3] == b"ID3" and len(head) == 10:
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return at


def _ogg_links(file: BinaryIO, at: int, end: int) -> Iterator[Span]:
    """Streams one after the other; those that begin side by side are one.  Pages (RFC 3533) are followed by numbers."""
    span, beginning, following = Span(at, end), True, {}
    while at < end:
        head = read_at(file, at, 27 + 255)
        if head[:4] != b"OggS" or len(head) < 27:
            span.damaged, at = True, next(find_all(file, rb"OggS", at + 1, end), end)
            continue
        flags, serial, number, told, segments = struct.unpack_from("<B8xIIIB", head, 5)
        page = read_at(file, at, 27 + segments + sum(head[27 : 27 + segments]))
        whole = _ogg_sum(page[:22] + bytes(4) + page[26:]) == told
        first = bool(flags & 2) and number == 0
        if first and not beginning:
            span.stop = at
            yield span
            span, following = Span(at, end), {}
        beginning = first
        span.damaged |= not whole or number != following.get(serial, number)
        following[serial] = number + 1
        span.ends = whole and bool(flags & 4)
        at += len(page)
    yield span


def _ogg_sum(page: bytes) -> int:
    """The 32-bit CRC of Ogg: that of zlib on reversed bits, which begins with 0 and ends as it is."""
    return int(f"{~zlib.crc32(page.translate(BACKWARDS), 0xFFFFFFFF) & 0xFFFFFFFF:032b}"[::-1], 2)
