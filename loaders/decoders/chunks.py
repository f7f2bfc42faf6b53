"""Where the sound of a wav (RIFF, RF64, BW64) lies, whatever its header says of its size.

A claimed size is a hint: it holds only if the file ends there, or goes on with whole chunks.  A recorder that lost its
power leaves 0 or 44, 32 bits wrap at 4 GiB, and a pipe gets the largest number there is.
"""

from typing import BinaryIO

from loaders.decoders.slices import Slice, Span, find_all, read_at
from loaders.decoders.sndfile import open_known, plain_samples

WRAP = 1 << 32
KINDS = (b"RIFF", b"RF64", b"BW64")
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # which are in no chunk


def find_in_chunks(file: BinaryIO, begin: int, end: int) -> Span | None:
    """The wav that begins there and its sound; None where there is none."""
    if read_at(file, begin, 4) not in KINDS:
        return None
    at, told = begin + 12, None
    while chunk := _chunk_at(file, at):
        name, at, size = chunk
        if name == b"data":
            break
        if name == b"ds64":
            told = int.from_bytes(read_at(file, at + 8, 8), "little")
        at = _after(file, at + size)
    if not chunk or at >= end:
        return None
    known = open_known(Slice(file, begin, end))
    claimed = size if told is None else told
    size, stop = _sound_size(file, at, claimed, end)
    return Span(begin, stop, at, size, claimed, plain_samples(known) if known else None)


def _sound_size(file: BinaryIO, at: int, claimed: int, end: int) -> tuple[int, int]:
    """Bytes of the sound that begins at `at`, and where the file that it belongs to ends.

    What follows the claimed end is sound, too, unless it is chunks, less than 1 %, or the zeros of a file that got its
    size before its sound.
    """
    room = end - at
    sizes = range(claimed, room + 1, WRAP) if 0 < claimed < WRAP else [claimed] if 0 < claimed <= room else []
    for size in sizes:
        if (last := _end_of_chunks(file, at + size, end)) is not None:
            return size, last
    if sizes and (room - sizes[-1] <= 0.01 * claimed or not any(find_all(file, rb"[^\0]", at + sizes[-1], end))):
        return sizes[-1], end
    return room, end


def _chunk_at(file: BinaryIO, at: int) -> tuple[bytes, int, int] | None:
    """Name, first byte and claimed size of the chunk there; None where there is none."""
    head = read_at(file, at, 8)
    if len(head) < 8 or any(not 32 <= letter < 127 for letter in head[:4]):
        return None
    return head[:4], at + 8, int.from_bytes(head[4:], "little")


def _after(file: BinaryIO, at: int) -> int:
    """Where the next chunk begins, at an even place; some programs do not align chunks of odd sizes."""
    return at if at % 2 == 0 or not _chunk_at(file, at + 1) else at + 1


def _end_of_chunks(file: BinaryIO, at: int, end: int) -> int | None:
    """Where whole chunks from here on end, at the file's end or at a file joined to this one; None if they do not."""
    while True:
        at = _after(file, at)
        head = read_at(file, at, 8)
        if end - at < 8 or head.startswith(TAGS):
            return end
        if head.startswith(KINDS):
            return at
        chunk = _chunk_at(file, at)
        if chunk is None or chunk[2] > end - chunk[1]:
            return None
        at = chunk[1] + chunk[2]
