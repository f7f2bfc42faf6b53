"""Plain numbers of a file -> blocks of samples, the same that libsndfile gives."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from loaders.decoders.headers import Part

BLOCK = 1 << 18  # values read at a time


def read_pcm(file: BinaryIO, part: Part) -> Iterator[np.ndarray]:
    """Blocks (n, channels) float32 of one part of a file, to its end."""
    written, at = part.format, part.at
    frame = written.width * written.channels
    left = part.size // frame
    while left:
        file.seek(at)
        raw = file.read(min(max(BLOCK // written.channels, 1), left) * frame)
        n = len(raw) // frame
        if not n:  # the file became shorter while it was read
            return
        yield to_floats(raw[: n * frame], written.coding, written.order).reshape(n, written.channels)
        at, left = at + n * frame, left - n


def to_floats(raw: bytes, coding: str, order: str) -> np.ndarray:
    """Numbers in bytes -> float32 (n,), 1 at full scale.  coding, order: see headers.Format."""
    if coding in ("ulaw", "alaw"):
        return (_ULAW if coding == "ulaw" else _ALAW)[np.frombuffer(raw, np.uint8)]
    if coding == "i3":  # the upper three of four bytes
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)[:, :: 1 if order == "<" else -1]
        return to_floats(wide.tobytes(), "i4", "<")
    values = np.frombuffer(raw, np.dtype(order + coding))
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused by whoever reads it
        floats = values.astype(np.float32)
    if coding == "u1":
        floats -= 128
    if coding[0] != "f":
        floats *= np.float32(2.0 ** (1 - 8 * values.itemsize))
    return floats


def _ulaw() -> np.ndarray:
    """ITU-T G.711, mu-law: (256,) float32."""
    code = ~np.arange(256, dtype=np.uint8)
    size = ((((code & 15) << 3) + 132).astype(int) << (code >> 4 & 7)) - 132
    return (np.where(code & 128, -size, size) / 32768).astype(np.float32)


def _alaw() -> np.ndarray:
    """ITU-T G.711, A-law: (256,) float32."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    step, size = (code >> 4 & 7).astype(int), ((code & 15).astype(int) << 4) + 8
    size = np.where(step == 0, size, (size + 256) << np.maximum(step - 1, 0))
    return (np.where(code & 128, size, -size) / 32768).astype(np.float32)


_ULAW, _ALAW = _ulaw(), _alaw()
