"""Where the sound of a file in chunks lies (wav, RF64, W64, AIFF, CAF), whatever its header says of its size.

A claimed size is a hint: it holds only if the file ends there, or goes on with whole chunks.  A recorder that lost its
power leaves 0 or 44, 32 bits wrap at 4 GiB, and a pipe gets the largest number there is.
"""

import struct
from typing import BinaryIO, NamedTuple

MOST = 1000  # chunks before the sound, and after it
LOOK = 4096  # bytes of a chunk that are looked at
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # what programs append without a chunk around it
FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff", b".snd")  # another file, joined to this one
WRAP = 1 << 32
STEP = 1 << 20  # bytes read at a time


class Style(NamedTuple):
    """How a file's chunks are written."""

    head: str  # layout of name and size
    counted: int  # bytes of the head that the size counts
    align: int  # each chunk begins at a multiple of this
    first: int  # where the first chunk begins


STYLES = {
    b"RIFF": Style("<4sI", 0, 2, 12),
    b"RIFX": Style(">4sI", 0, 2, 12),
    b"RF64": Style("<4sI", 0, 2, 12),
    b"BW64": Style("<4sI", 0, 2, 12),
    b"FORM": Style(">4sI", 0, 2, 12),
    b"riff": Style("<4s12xQ", 24, 8, 40),
    b"caff": Style(">4sq", 0, 1, 8),
}


def read_at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def chunk_at(file: BinaryIO, at: int, end: int, style: Style) -> tuple[bytes, int, int] | None:
    """Name, first byte and claimed size of the chunk there; None where there is none."""
    length = struct.calcsize(style.head)
    head = read_at(file, at, length) if at + length <= end else b""
    if len(head) < length:
        return None
    name, size = struct.unpack(style.head, head)
    return (name, at + length, size - style.counted) if all(32 <= letter < 127 for letter in name) else None


def chunks_before(file: BinaryIO, at: int, end: int, style: Style, sound: bytes) -> dict[bytes, tuple[int, int, bytes]]:
    """Each chunk's first byte, claimed size and first bytes, by name, up to the one named `sound`."""
    found: dict[bytes, tuple[int, int, bytes]] = {}
    at += style.first
    while len(found) < MOST and sound not in found and (chunk := chunk_at(file, at, end, style)):
        name, start, size = chunk
        found.setdefault(name, (start, size, read_at(file, start, max(min(size, LOOK), 0) if name != sound else LOOK)))
        at = _after(file, start + max(size, 0), end, style)
    return found


def sound_size(file: BinaryIO, at: int, claimed: int, end: int, style: Style, slack: int) -> tuple[int, int]:
    """Bytes of the sound that begins at `at`, and where the file that it belongs to ends.

    slack: bytes after the claimed end that are too few to matter; more of them are sound, if they are no chunks and
    not the zeros of a file that got its size before its sound.
    """
    room = end - at
    sizes = range(claimed, room + 1, WRAP) if 0 < claimed < WRAP else [claimed] if 0 < claimed <= room else []
    for size in sizes:
        if (last := _end_of_chunks(file, at + size, end, style)) is not None:
            return size, last
    if sizes and (room - sizes[-1] <= slack or _only_zeros(file, at + sizes[-1], end)):
        return sizes[-1], end
    return room, end


def _only_zeros(file: BinaryIO, at: int, end: int) -> bool:
    while at < end:
        block = read_at(file, at, STEP)
        if not block or block.count(0) < len(block):
            return not block
        at += len(block)
    return True


def _after(file: BinaryIO, at: int, end: int, style: Style) -> int:
    """Where the next chunk begins; some programs do not align chunks of odd sizes."""
    aligned = at + -at % style.align
    return aligned if aligned == at or chunk_at(file, aligned, end, style) else at


def _end_of_chunks(file: BinaryIO, at: int, end: int, style: Style) -> int | None:
    """Where whole chunks from here on end, at the file's end or at a file joined to this one; None if they do not."""
    for _ in range(MOST):
        at = _after(file, at, end, style)
        if end - at < struct.calcsize(style.head):
            return end
        head = read_at(file, at, 8)
        if head.startswith(TAGS):
            return end
        if head.startswith(FILES):
            return at
        chunk = chunk_at(file, at, end, style)
        if chunk is None or not 0 <= chunk[2] <= end - chunk[1]:
            return None
        at = chunk[1] + chunk[2]
    return None
