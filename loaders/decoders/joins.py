"""FLAC, Ogg and MP3 files that were joined end to end -> the bytes of each, and what each says of its length."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from loaders.decoders.chunks import read_at

STEP = 1 << 22  # bytes searched at a time
NEAR = 4096  # bytes between a file's tags and its first frame, at most
TAIL = 1 << 16  # bytes at the end of an MP3 whose frames are followed
NO_END = "it was cut off or never finished: its end is missing, and how much of it is not known"
KBIT = (  # of layer III, a second: MPEG 1, and 2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)


@dataclass
class Span:
    """One of the files that were joined."""

    start: int
    stop: int
    promised: float = 0.0  # seconds that its header tells, 0 if it tells none
    ends: bool = True  # as a whole file of its kind does
    damaged: bool = False


def find_spans(file: BinaryIO, end: int) -> list[Span]:
    """The files of which a file of `end` bytes is made; one of the whole where it is no FLAC, Ogg or MP3."""
    at = _behind_tags(file, end)
    head = read_at(file, at, 4)
    if head == b"OggS":
        return list(_ogg_links(file, at, end))
    marks: dict[int, float] = {}
    if head == b"fLaC":
        for kind in b"\0", b"\x80":  # whether more is told before the sound
            places = find_all(file, b"fLaC" + kind + b"\0\0\x22", at, end)
            marks |= {place: _flac_seconds(file, place) for place in places}
    elif _version(head):
        marks = dict(_xing_frames(file, at, end))
    if marks and min(marks) < at + NEAR:  # the first file begins with its tags
        marks[0] = marks.pop(min(marks))
    starts = sorted({0, *marks})
    spans = [Span(*ends, marks.get(ends[0], 0.0)) for ends in zip(starts, [*starts[1:], end], strict=True)]
    for span in spans if _version(head) else []:
        span.ends = bool(span.promised) or _mp3_ends(file, span)
    return spans


class Slice:
    """The bytes of a span as a file of their own."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        self.file, self.start, self.size, self.at = file, span.start, span.stop - span.start, 0

    def read(self, size: int) -> bytes:
        data = read_at(self.file, self.start + self.at, max(min(size, self.size - self.at), 0))
        self.at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 65536:  # how FFmpeg asks for the size
            return self.size
        self.at = min(max(offset + (0, self.at, self.size)[whence], 0), self.size)
        return self.at

    def tell(self) -> int:
        return self.at


def find_all(file: BinaryIO, word: bytes, at: int, end: int) -> Iterator[int]:
    """Where a file has these bytes."""
    while at < end:
        block = read_at(file, at, STEP + len(word) - 1)
        found = block.find(word)
        while found >= 0:
            yield at + found
            found = block.find(word, found + 1)
        at += STEP


def _behind_tags(file: BinaryIO, end: int) -> int:
    """Where the sound begins behind tags of ID3, of which there may be several."""
    at = 0
    while at < end and (head := read_at(file, at, 10))[:3] == b"ID3" and len(head) == 10:
        at += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return at


def _flac_seconds(file: BinaryIO, at: int) -> float:
    bits = int.from_bytes(read_at(file, at + 18, 8), "big")  # 20 of the rate, 3 + 5 of the format, 36 of the length
    return (bits & ((1 << 36) - 1)) / ((bits >> 44) or 1)


def _ogg_links(file: BinaryIO, at: int, end: int) -> Iterator[Span]:
    """Streams one after the other; those that begin side by side are one.  Pages are followed by their numbers."""
    span, beginning, following = Span(at, end), True, {}
    while at < end:
        head = read_at(file, at, 27 + 255)
        if head[:4] != b"OggS" or len(head) < 27:
            span.damaged, at = True, next(find_all(file, b"OggS", at + 1, end), end)
            continue
        kind, serial, number, segments = struct.unpack_from("<B8xII4xB", head, 5)
        if kind & 2 and not beginning:
            span.stop = at
            yield span
            span, following = Span(at, end), {}
        beginning = bool(kind & 2)
        span.damaged |= number != following.get(serial, number)
        following[serial] = number + 1
        at += 27 + segments + sum(head[27 : 27 + segments])
        span.ends = bool(kind & 4) and at <= end
    yield span


def _mp3_ends(file: BinaryIO, span: Span) -> bool:
    """Whether the last frame is whole, as far as frames can be followed."""
    size = min(span.stop - span.start, TAIL)
    tail = read_at(file, span.stop - size, size)
    for first in range(min(len(tail), NEAR)):
        at, frames = first, 0
        while length := _frame_length(tail[at : at + 4]):
            at, frames = at + length, frames + 1
        if frames > 3:
            return at <= len(tail)
    return True


def _xing_frames(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, float]]:
    """Frames of MPEG audio that hold no sound but the number of frames to come, and the seconds of those."""
    for word in b"Xing", b"Info":
        for place in find_all(file, word, at, end):
            flags, count = struct.unpack(">II", read_at(file, place + 4, 8).ljust(8, b"\0"))
            for behind in (36, 21, 13):  # by version and channels
                start = place - behind
                head = read_at(file, start, 4) if start >= at else b""
                if flags & 1 and flags < 16 and behind == _xing_place(head):
                    yield start, count * (1152 if _version(head) == 1 else 576) / _rate(head)


def _version(head: bytes) -> float:
    """1, 2 or 2.5 of the four bytes at which a frame of layer III begins; 0 where none does."""
    if len(head) < 4 or head[0] != 255 or head[1] & 0xE6 != 0xE2 or head[2] >> 4 == 15 or head[2] >> 2 & 3 == 3:
        return 0
    return (2.5, 0, 2, 1)[head[1] >> 3 & 3]


def _rate(head: bytes) -> float:
    """Hz."""
    return (44100, 48000, 32000)[head[2] >> 2 & 3] / {1: 1, 2: 2, 2.5: 4}[_version(head)]


def _xing_place(head: bytes) -> int:
    """How far behind the beginning of a frame its Xing header is; 0 where there is no frame."""
    mono = len(head) == 4 and head[3] >> 6 == 3
    return {0: 0, 1: 21 if mono else 36}.get(_version(head), 13 if mono else 21)


def _frame_length(head: bytes) -> int:
    """Bytes of a frame, 0 where none begins or its length is free."""
    if not (version := _version(head)):
        return 0
    kbit = KBIT[version != 1][head[2] >> 4]
    return kbit and int((144 if version == 1 else 72) * kbit * 1000 // _rate(head)) + (head[2] >> 1 & 1)
