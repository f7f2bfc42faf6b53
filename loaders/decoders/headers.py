"""The header of a wav, RF64, W64, AIFF, CAF or AU file -> where its sound lies, and how the samples are written."""

import math
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from loaders.decoders.chunks import STYLES, chunks_before, read_at, sound_size
from loaders.decoders.reasons import shortfall

Chunks = dict[bytes, tuple[int, int, bytes]]  # as chunks_before gives them

WAV = {(1, 1): "u1", (1, 2): "i2", (1, 3): "i3", (1, 4): "i4", (3, 4): "f4", (3, 8): "f8", (6, 1): "alaw",
       (7, 1): "ulaw"}  # format tag, bytes of a sample -> coding  # fmt: skip
AIFF = dict.fromkeys((b"NONE", b"twos", b"sowt", b"in24", b"in32"), "i")
AIFF |= {b"fl32": "f", b"FL32": "f", b"fl64": "f", b"FL64": "f", b"raw ": "u", b"ulaw": "ulaw", b"alaw": "alaw"}
AU = {1: "ulaw", 2: "i1", 3: "i2", 4: "i3", 5: "i4", 6: "f4", 7: "f8", 27: "alaw"}
CODINGS = {"u1", "i1", "i2", "i3", "i4", "f4", "f8", "alaw", "ulaw"}  # that pcm.py reads
EXTENSIBLE = 0xFFFE
PIPED = 1 << 16  # a promise this close below a multiple of 2 GiB: the program could not go back to the header


@dataclass(frozen=True)
class Format:
    """How samples are written.  coding: one of CODINGS, or another where they are compressed."""

    coding: str
    order: str  # "<" or ">"
    width: int  # bytes of one sample of one channel
    channels: int
    rate: int  # Hz
    speed: float  # bytes a second, 0 where that is not known


@dataclass(frozen=True)
class Part:
    """The sound of one file, of several that may be joined: `size` bytes from `at` on."""

    at: int
    size: int
    format: Format
    remarks: list[str]


def find_parts(file: BinaryIO) -> list[Part]:
    """The sound of a file and of those that are joined to it; nothing where it is another kind of file."""
    end, parts, at = os.fstat(file.fileno()).st_size, [], 0
    while at < end and (found := _find_part(file, at, end)):
        part, at = found
        parts.append(part)
    return parts


def _find_part(file: BinaryIO, at: int, end: int) -> tuple[Part, int] | None:
    head = read_at(file, at, 44)
    magic, kind = head[:4], head[24:28] if head[:4] == b"riff" else head[8:12]
    read, sound = {
        b"WAVE": (_wav, b"data"), b"wave": (_wav, b"data"), b"AIFF": (_aiff, b"SSND"), b"AIFC": (_aiff, b"SSND"),
    }.get(kind, (_caf, b"data") if magic == b"caff" else (_au, b""))  # fmt: skip
    try:
        style = STYLES[b"caff" if read is _au else magic]
        chunks = {} if read is _au else chunks_before(file, at, end, style, sound)
        written, start, claimed = _au(head, at) if read is _au else read(chunks, magic)
    except (KeyError, struct.error, OverflowError, ValueError):  # what a header needs is not there, or is no number
        return None
    if written.channels < 1 or written.width < 1 or start >= end:
        return None
    slack = int(min(0.01 * max(claimed, 0), written.speed or math.inf))
    size, last = sound_size(file, start, claimed, end, style, slack)
    return Part(start, size, written, _remarks(size, claimed, written.speed, slack)), max(last, at + 1)


def _remarks(size: int, claimed: int, speed: float, slack: int) -> list[str]:
    unit, held, promised = ("seconds", size / speed, claimed / speed) if speed else ("bytes", size, claimed)
    if claimed <= 0:
        return [f"its header was never finished; it is read to its end, {held:.2f} {unit}"] if size else []
    if size > claimed + slack:
        return [f"its header promises {promised:.2f} {unit}; all {held:.2f} that it holds are read"]
    return [] if -claimed % (1 << 31) < PIPED else shortfall(held, promised, unit)


def _wav(chunks: Chunks, magic: bytes) -> tuple[Format, int, int]:
    order = ">" if magic == b"RIFX" else "<"
    described, (start, claimed, _) = chunks[b"fmt "][2], chunks[b"data"]
    tag, channels, rate, speed, align, bits = struct.unpack_from(f"{order}HHIIHH", described)
    if tag == EXTENSIBLE:
        (tag,) = struct.unpack_from(f"{order}H", described, 24)
    if b"ds64" in chunks and magic in (b"RF64", b"BW64"):
        (claimed,) = struct.unpack_from("<q", chunks[b"ds64"][2], 8)
    width = align // channels if align and align % channels == 0 else -(-bits // 8)
    coding = WAV.get((tag, width), "")
    return _format(coding, order, width, channels, rate, speed), start, claimed


def _aiff(chunks: Chunks, magic: bytes) -> tuple[Format, int, int]:
    described, (start, claimed, block) = chunks[b"COMM"][2], chunks[b"SSND"]
    channels, _, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", described)
    kind = described[18:22] or b"NONE"
    rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63)
    coding, width = AIFF.get(kind, AIFF.get(kind.lower(), "")), -(-bits // 8)
    width = 1 if coding.endswith("law") else width
    skipped = 8 + struct.unpack_from(">I", block)[0]
    coding = coding if coding.endswith("law") or not coding else f"{coding}{width}"
    written = _format(coding, "<" if kind == b"sowt" else ">", width, channels, int(rate))
    return written, start + skipped, claimed - skipped if claimed > 0 else claimed


def _caf(chunks: Chunks, magic: bytes) -> tuple[Format, int, int]:
    rate, kind, flags, packet, frames, channels, _ = struct.unpack_from(">d4sIIIII", chunks[b"desc"][2])
    start, claimed, _ = chunks[b"data"]
    width = packet // channels if channels else 0
    coding = {b"lpcm": f"{'if'[flags & 1]}{width}", b"ulaw": "ulaw", b"alaw": "alaw"}.get(kind, "")
    speed = rate * packet / frames if frames else 0
    written = _format(coding, "<" if flags & 2 else ">", width or 1, channels, int(rate), speed)
    return written, start + 4, claimed - 4 if claimed > 0 else claimed  # behind the count of edits


def _au(head: bytes, at: int) -> tuple[Format, int, int]:
    order = {b".snd": ">", b"dns.": "<"}[head[:4]]
    offset, claimed, number, rate, channels = struct.unpack_from(f"{order}IIIII", head, 4)
    coding = AU.get(number, "")
    return _format(coding, order, int(coding[1:]) if coding[1:].isdigit() else 1, channels, rate), at + offset, claimed


def _format(coding: str, order: str, width: int, channels: int, rate: int, speed: float = 0) -> Format:
    plain = coding in CODINGS
    return Format(coding if plain else "", order, width, channels, rate, width * channels * rate if plain else speed)
