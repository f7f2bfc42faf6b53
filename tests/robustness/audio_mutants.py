"""Sound files that are fine, and mutants of them: cut, flipped, mislabelled, misnamed, or no sound files at all."""

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from tests.recorders import patched

USED, REFUSED, EITHER = "used", "refused", "used or refused"
FORMATS = [  # container, coding, sampling rate, channels
    *(("WAV", coding, 16000, 1) for coding in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAV", coding, 22050, 2) for coding in ("ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM")),
    *(("WAVEX", "PCM_24", rate, 2) for rate in (8000, 11025, 44100, 48000, 96000, 192000)),
    *(("WAV", "PCM_16", 8000, channels) for channels in (3, 6, 64)),
    *((container, "PCM_16", 16000, 1) for container in ("RF64", "W64", "AIFF", "AU", "CAF")),
    *(("FLAC", coding, 44100, 2) for coding in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("OGG", "VORBIS", rate, channels) for rate, channels in ((44100, 1), (8000, 2))),
    ("WAV", "GSM610", 8000, 1),
    ("OGG", "OPUS", 48000, 2),
    ("MP3", "MPEG_LAYER_III", 44100, 2),
]
HEADER = 64  # bytes at a file's start in which sizes, rates and tags stand; in a wav at these places:
RIFF_SIZE_AT, FORMAT_SIZE_AT, TAG_AT, CHANNELS_AT, RATE_AT, BITS_AT, DATA_SIZE_AT = 4, 16, 20, 22, 24, 34, 40


@dataclass(frozen=True)
class Mutant:
    """A clip of the data set: what was done to it, what the CSV calls it, what lies there, what should become of it."""

    kind: str
    fname: str
    make: Callable[[Path], object] | None  # writes it; None: the name is all there is
    expected: str = EITHER


def sound(rng: np.random.Generator, rate: int, channels: int, seconds: float = 0.3) -> np.ndarray:
    """Noise that swells and fades: (n, channels)."""
    n = int(rate * seconds)
    return rng.uniform(-0.5, 0.5, (n, channels)) * np.sin(np.linspace(0, np.pi, n))[:, None]


def encode(samples: np.ndarray, container: str, coding: str, rate: int) -> bytes:
    """A whole sound file."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=container, subtype=coding)
    return file.getvalue()


def good_files(rng: np.random.Generator) -> dict[str, bytes]:
    """One file of every format that this build of libsndfile can write."""
    return {
        f"{container} {coding} {rate} Hz x{channels}": encode(sound(rng, rate, channels), container, coding, rate)
        for container, coding, rate, channels in FORMATS
        if sf.check_format(container, coding)
    }


def mutants(rng: np.random.Generator, count: int) -> list[Mutant]:
    """`count` clips: each good format, each special case, and the rest damaged at random, every kind as often."""
    files = good_files(rng)
    made = [Mutant("every format", f"format{i:02}.wav", writes(data), USED) for i, data in enumerate(files.values())]
    made += [*special_contents(rng), *special_names(rng), *special_files()]
    sources = list(files.values())
    wavs = [data for data in sources if data.startswith(b"RIFF")]  # in which we know where the numbers stand
    while len(made) < count:
        for kind, damage in DAMAGES.items():
            pool = wavs if kind.endswith("in the header") else sources
            data = damage(rng, pool[rng.integers(len(pool))], sources)
            made.append(Mutant(kind, f"mutant{len(made):05}.wav", writes(data)))
    return made[:count]


def writes(data: bytes) -> Callable[[Path], object]:
    """How to put these bytes at a path."""
    return lambda path: path.write_bytes(data)


def flip(rng: np.random.Generator, data: bytes, end: int | None = None) -> bytes:
    """1 to 16 bits flipped."""
    flipped = bytearray(data)
    for _ in range(rng.integers(1, 17)):
        flipped[rng.integers(min(len(data), end or len(data)))] ^= 1 << rng.integers(8)
    return bytes(flipped)


def splice(rng: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    """A stretch cut out, doubled, or replaced by one of another file."""
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    other = others[rng.integers(len(others))]
    middle = [b"", 2 * data[first:last], other[first:last], other][rng.integers(4)]
    return data[:first] + middle + data[last:]


def wrong_size(rng: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    """A size in the header that is not the file's."""
    at = (RIFF_SIZE_AT, FORMAT_SIZE_AT, DATA_SIZE_AT)[rng.integers(3)]
    sizes = (0, 1, 15, len(data) // 2, 2 * len(data), 2**31 - 1, 2**31, 2**32 - 1, int(rng.integers(2**32)))
    return patched(data, (at, "<I", sizes[rng.integers(len(sizes))]))


def wrong_number(at: int, layout: str, *values: int) -> Callable[..., bytes]:
    """A number of the header replaced by one of these or by any."""

    def damage(rng: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
        value = int(rng.integers(256 ** struct.calcsize(layout))) if rng.random() < 0.3 else int(rng.choice(values))
        return patched(data, (at, layout, value))

    return damage


DAMAGES: dict[str, Callable[[np.random.Generator, bytes, list[bytes]], bytes]] = {
    "cut off anywhere": lambda rng, data, others: data[: rng.integers(1, len(data))],
    "cut off in the header": lambda rng, data, others: data[: rng.integers(1, HEADER)],
    "bits flipped anywhere": lambda rng, data, others: flip(rng, data),
    "bits flipped in the header": lambda rng, data, others: flip(rng, data, HEADER),
    "a stretch cut out, doubled or foreign": splice,
    "wrong sizes in the header": wrong_size,
    "other sampling rates in the header": wrong_number(
        RATE_AT, "<I", 0, 1, 99, 999, 1000, 768_000, 768_001, 10**7, 2**31 - 1, 2**31, 2**32 - 1
    ),
    "other channel counts in the header": wrong_number(CHANNELS_AT, "<H", 0, 2, 3, 64, 1024, 1025, 65535),
    "other codings in the header": wrong_number(TAG_AT, "<H", 0, 1, 2, 3, 6, 7, 17, 49, 80, 85, 0xFFFE, 0xFFFF),
    "other sample widths in the header": wrong_number(BITS_AT, "<H", 0, 1, 4, 7, 8, 12, 24, 32, 64, 65535),
    "trailing rubbish": lambda rng, data, others: data + rng.bytes(int(rng.integers(1, 5000))),
}


def special_contents(rng: np.random.Generator) -> Iterator[Mutant]:
    """Files that are whole, with something odd in them."""
    rate, plain = 16000, sound(rng, 16000, 1)
    for i, (share, value) in enumerate((s, v) for s in (1e-3, 0.5, 1) for v in (np.nan, np.inf, -np.inf)):
        spoilt = np.where(rng.random(plain.shape) < share, value, plain)
        spoilt[0] = value
        yield Mutant("NaN and inf samples", f"infinite{i}.wav", writes(encode(spoilt, "WAV", "FLOAT", rate)), REFUSED)
    for i, level in enumerate((1e-30, 1e-6, 100.0, 32768.0, 1e12, 1e38, 1e300)):
        coding, fine = ("DOUBLE" if level > 1e38 else "FLOAT"), (USED if level < 1e6 else EITHER)
        yield Mutant("faint and loud", f"level{i}.wav", writes(encode(plain * level, "WAV", coding, rate)), fine)
    for n in (0, 1, 2, 3, 100, 2047, 2049):
        data = encode(sound(rng, rate, 1)[:n], "WAV", "PCM_16", rate)
        yield Mutant("0 to 2049 samples", f"samples{n}.wav", writes(data), USED if n else REFUSED)
    for name, samples in {"zeros": 0 * plain, "constant": 0 * plain + 1, "click": np.eye(4800, 1)}.items():
        data = encode(samples, "WAV", "PCM_16", rate)
        yield Mutant("silence, constants, clicks", f"{name}.wav", writes(data), USED)
    for hours, expected in ((1, USED), (2, REFUSED)):
        yield Mutant("hours of silence", f"hours{hours}.wav", lambda path, h=hours: write_silence(path, h), expected)
    texts = [b"", b"\n", b"fname,labels\n", b"<html>404</html>" * 99, b"\0" * 5000, "größer".encode() * 99, b"RIFF"]
    texts += [b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3", b"PK\3\4" * 99, b"\x89PNG\r\n\x1a\n" * 9, rng.bytes(9999)]
    for i, data in enumerate(texts):
        yield Mutant("texts, pictures, rubbish, 0 bytes", f"text{i}.wav", writes(data), REFUSED)


def write_silence(path: Path, hours: int) -> None:
    """A 16-bit wav of silence that is a hole in the disk."""
    size = hours * 3600 * 16000 * 2
    header = encode(np.zeros((1, 1)), "WAV", "PCM_16", 16000)[:44]
    with open(path, "wb") as file:
        file.write(patched(header, (RIFF_SIZE_AT, "<I", size + 36), (DATA_SIZE_AT, "<I", size)))
        file.truncate(44 + size)


def special_names(rng: np.random.Generator) -> Iterator[Mutant]:
    """Good sounds under names that a shell, a CSV or a terminal could misread, and names that lead elsewhere."""
    data = encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000)
    names = ["a b.wav", " lead.wav", "trail.wav ", "comma,.wav", "semi;colon.wav", 'double".wav', "single'.wav"]
    names += ["-dash.wav", "--strict.wav", "na\u0308me.wav", "n\u00e4me.wav", "\u97f3\u58f0.wav", "\u202egnp.wav"]
    names += ["line\nbreak.wav", "return\r.wav", "tab\t.wav", "\x1b[31mred.wav", "100%s{}.wav", "$(id).wav", "`id`.wav"]
    names += ["*.wav", "?.wav", "[a].wav", "back\\slash.wav", "~root.wav", "#hash.wav", "nan", "None", "1", "1.0"]
    names += ["suffixless", ".hidden.wav", "a.flac", "b.ogg", "UPPER.WAV", "x" * 251 + ".wav", "sub/folder/deep.wav"]
    for name in names:
        yield Mutant("odd names", name, writes(data), EITHER if name.endswith("\r.wav") else USED)
    yield Mutant("odd names", "headerless.raw", writes(data), EITHER)
    for name in ("x" * 300 + ".wav", "/".join(["deep"] * 2000) + ".wav", ".", "nowhere.wav", "odd/nowhere.wav"):
        yield Mutant("names of nothing", name, None, REFUSED)
    for name in ("../outside.wav", "sub/../../outside.wav", "./../outside.wav", "/etc/passwd", "//etc/passwd"):
        yield Mutant("names that lead outside", name, None, REFUSED)
    yield Mutant("names that lead outside", "{outside}", None, REFUSED)  # the harness puts an absolute path there


def special_files() -> Iterator[Mutant]:
    """What is no regular file."""
    links = {"loop": "loop.wav", "loop2a": "loop2b.wav", "loop2b": "loop2a.wav", "dangling": "nowhere at all",
             "tolink": "pipe.wav", "null": "/dev/null", "zero": "/dev/zero"}  # fmt: skip
    makers: dict[str, Callable[[Path], object]] = {"folder": Path.mkdir, "pipe": os.mkfifo}
    makers |= {name: lambda path, to=to: path.symlink_to(to) for name, to in links.items()}
    for name, make in makers.items():
        yield Mutant("links in loops, folders, pipes, devices", f"{name}.wav", make, REFUSED)
