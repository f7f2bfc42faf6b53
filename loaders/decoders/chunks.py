"""Where the sound of a file in chunks lies (wav, RF64, W64, AIFF, CAF, AU), whatever its header says of its size.

A claimed size is a hint: it holds only if the file ends there, or goes on with whole chunks.  A recorder that lost its
power leaves 0 or 44, 32 bits wrap at 4 GiB, and a pipe gets the largest number there is.
"""

import struct
from typing import BinaryIO, NamedTuple

from loaders.decoders.slices import Slice, Span, find_all, read_at
from loaders.decoders.sndfile import WIDTHS, open_known, plain_samples

MOST = 1000  # chunks before the sound, and after it
WRAP = 1 << 32


class Style(NamedTuple):
    """How a file's chunks are written."""

    head: str  # layout of name and size
    counted: int  # bytes of the head that the size counts
    align: int  # each chunk begins at a multiple of this
    first: int  # where the first chunk begins
    sound: bytes  # name of the chunk that holds it
    skip: int  # bytes of that before the sound


WAV = Style("<4sI", 0, 2, 12, b"data", 0)
STYLES = {  # by how files begin
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), WAV),
    b"RIFX": WAV._replace(head=">4sI"),
    b"FORM": Style(">4sI", 0, 2, 12, b"SSND", 8),
    b"riff": Style("<4s12xQ", 24, 8, 40, b"data", 0),
    b"caff": Style(">4sq", 0, 1, 8, b"data", 4),
    b".snd": Style(">4sI", 0, 1, 0, b".snd", 0),  # AU: a header, and sound to the end
}


def find_in_chunks(file: BinaryIO, begin: int, end: int) -> Span | None:
    """The file that begins there and its sound; None where it is not in chunks."""
    if not (style := STYLES.get(read_at(file, begin, 4))):
        return None
    at, told = begin + style.first, None
    for _ in range(MOST):
        if not (chunk := _chunk_at(file, at, style)):
            return None
        name, start, size = chunk
        if name == style.sound:
            break
        if name == b"ds64":
            told = int.from_bytes(read_at(file, start + 8, 8), "little")
        at = _after(file, start + max(size, 0), style)
    else:
        return None
    at, claimed = start + style.skip, size if told is None else told
    if style.first == 0:  # AU: what stands for the size is how far behind the beginning the sound is
        start = at = begin + size
        claimed = int.from_bytes(read_at(file, begin + 8, 4), "big")
    elif name == b"SSND":
        at += int.from_bytes(read_at(file, start, 4), "big")
    claimed -= at - start if claimed > 0 else 0
    if at >= end:
        return None
    known = open_known(Slice(file, begin, end))
    plain, slack = plain_samples(known) if known else None, 0.01 * max(claimed, 0)
    if plain:
        slack = min(slack, WIDTHS[plain["subtype"]] * plain["channels"] * plain["samplerate"])
    size, stop = _sound_size(file, at, claimed, end, style, int(slack))
    return Span(begin, max(stop, begin + 1), at, size, claimed, plain)


def _sound_size(file: BinaryIO, at: int, claimed: int, end: int, style: Style, slack: int) -> tuple[int, int]:
    """Bytes of the sound that begins at `at`, and where the file that it belongs to ends.

    slack: bytes after the claimed end that are too few to matter; more of them are sound, if they are no chunks and
    not the zeros of a file that got its size before its sound.
    """
    room = end - at
    sizes = range(claimed, room + 1, WRAP) if 0 < claimed < WRAP else [claimed] if 0 < claimed <= room else []
    for size in sizes:
        if (last := _end_of_chunks(file, at + size, end, style)) is not None:
            return size, last
    if sizes and (room - sizes[-1] <= slack or not any(find_all(file, rb"[^\0]", at + sizes[-1], end))):
        return sizes[-1], end
    return room, end


def _chunk_at(file: BinaryIO, at: int, style: Style) -> tuple[bytes, int, int] | None:
    """Name, first byte and claimed size of the chunk there; None where there is none."""
    head = read_at(file, at, length := struct.calcsize(style.head))
    if len(head) < length or any(not 32 <= letter < 127 for letter in head[:4]):
        return None
    name, size = struct.unpack(style.head, head)
    return name, at + length, size - style.counted


def _after(file: BinaryIO, at: int, style: Style) -> int:
    """Where the next chunk begins; some programs do not align chunks of odd sizes."""
    aligned = at + -at % style.align
    return aligned if aligned == at or _chunk_at(file, aligned, style) else at


def _end_of_chunks(file: BinaryIO, at: int, end: int, style: Style) -> int | None:
    """Where whole chunks from here on end, at the file's end or at a file joined to this one; None if they do not."""
    for _ in range(MOST):
        at = _after(file, at, style)
        head = read_at(file, at, 8)
        if end - at < struct.calcsize(style.head) or head.startswith((b"ID3", b"TAG", b"APETAGEX")):  # in no chunk
            return end
        if head.startswith(tuple(STYLES)):
            return at
        chunk = _chunk_at(file, at, style)
        if chunk is None or not 0 <= chunk[2] <= end - chunk[1]:
            return None
        at = chunk[1] + chunk[2]
    return None
