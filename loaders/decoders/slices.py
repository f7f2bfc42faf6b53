"""Parts of an open file: bytes at a place, a stretch as a file of its own, and where a pattern is found."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

STEP = 1 << 22  # bytes searched at a time
WIDEST = 64  # bytes of what is searched for, at most


@dataclass
class Span:
    """One of the files that were joined, and where in it the sound is known to lie."""

    start: int
    stop: int
    at: int = 0  # first byte of the sound
    size: int = 0  # bytes of the sound, 0 where that is not known
    claimed: int = 0  # the same, as the header tells it
    plain: dict[str, Any] | None = None  # how its samples are written, where they are not compressed
    told: bool = True  # whether its header tells how long it is
    ends: bool = True  # as a whole file of its kind does
    damaged: bool = False


class Slice:
    """The bytes from `start` to `stop` of a file as a file of their own, for libsndfile and FFmpeg."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file, self.start, self.size, self.at = file, start, stop - start, 0

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


def read_at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def find_all(file: BinaryIO, pattern: bytes, at: int, end: int) -> Iterator[int]:
    """Where what a regular expression says begins."""
    for first in range(at, end, STEP):
        found = re.finditer(pattern, read_at(file, first, STEP + WIDEST), re.DOTALL)
        yield from (first + match.start() for match in found if match.start() < STEP)
