"""One file of each kind that recorders and phones write, all of the same sound."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import soundfile as sf
import soxr

RATE = 44100
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID = bytes.fromhex("000000001000800000aa00389b71")


def patched(data: bytes, *changes: tuple[int, str, int]) -> bytes:
    """Numbers overwritten: where, how they are written, what with."""
    made = bytearray(data)
    for at, layout, value in changes:
        struct.pack_into(layout, made, at, value)
    return bytes(made)


def sndfile(sound: np.ndarray, container: str, coding: str, rate: int = RATE, **how: str) -> bytes:
    """As libsndfile writes it.  sound: (n,) or (n, channels)."""
    raw, sound = io.BytesIO(), sound if rate == RATE else soxr.resample(sound, RATE, rate)
    with sf.SoundFile(raw, "w", rate, np.atleast_2d(sound.T).shape[0], coding, format=container, **how) as file:
        for at in range(0, len(sound), 20_000):  # libsndfile's Vorbis runs out of stack on more
            file.write(sound[at : at + 20_000])
    return raw.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def wav(sound: np.ndarray, bits: int = 16, tag: int = PCM, before: bytes = b"", after: bytes = b"") -> bytes:
    """A wav by hand; chunks may stand before and after the sound.  Extensible: 24 bits in as many as `bits` says."""
    sound = sound[:, None] if sound.ndim == 1 else sound
    channels, width = sound.shape[1], bits // 8
    whole = np.round(sound * (2**15 - 1)).astype(np.int64) << (bits - 16)
    data = whole.astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    described = struct.pack("<HHIIHH", tag, channels, RATE, RATE * channels * width, channels * width, bits)
    if tag == EXTENSIBLE:
        described += struct.pack("<HHIH", 22, min(bits, 24), 0, PCM) + GUID
    chunks = b"WAVE" + before + chunk(b"fmt ", described) + chunk(b"data", data) + after
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def ffmpeg(sound: np.ndarray, container: str, codec: str, rate: int = RATE, bit_rate: int = 0, tracks: int = 1,
           video: int = 0) -> bytes:  # fmt: skip
    """As FFmpeg writes it.  sound: (n,); of several tracks the others are silent; video: seconds."""
    raw = io.BytesIO()
    with av.open(raw, "w", format=container) as file:
        picture = file.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p") if video else None
        streams = [file.add_stream(codec, rate=rate, layout="mono", bit_rate=bit_rate) for _ in range(tracks)]
        for number in range(10 * video):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(picture.encode(frame))
        for number, stream in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(np.float32(sound)[None] * (number == 0), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            coder = stream.codec_context
            coder.open(strict=False)
            resampler = av.AudioResampler(coder.format, coder.layout, rate, frame_size=coder.frame_size or 1024)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                file.mux(stream.encode(piece))
            file.mux(stream.encode(None))
    return raw.getvalue()


def caf_aac(sound: np.ndarray) -> bytes:
    """AAC in CAF, as iPhones write it and FFmpeg does not: by hand, from the frames of an ADTS stream."""
    adts = ffmpeg(sound, "adts", "aac")
    frames, at = [], 0
    while at < len(adts):
        size = (adts[at + 3] & 3) << 11 | adts[at + 4] << 3 | adts[at + 5] >> 5
        frames.append(adts[at + 7 : at + size])
        at += size
    config = bytes([2 << 3 | 4 >> 1, (4 & 1) << 7 | 1 << 3])  # AAC-LC, 44.1 kHz, mono
    decoder = bytes([4, 13 + 2 + len(config), 0x40, 0x15]) + bytes(11) + bytes([5, len(config)]) + config
    cookie = bytes(4) + bytes([3, 3 + len(decoder), 0, 0, 0]) + decoder
    sizes = b"".join(bytes([len(frame) >> 7 | 128, len(frame) & 127]) for frame in frames)
    desc = struct.pack(">d4sIIIII", RATE, b"aac ", 0, 0, 1024, 1, 0)
    table = struct.pack(">qqii", len(frames), len(frames) * 1024, 0, 0) + sizes
    chunks = (b"desc", desc), (b"kuki", cookie), (b"pakt", table), (b"data", bytes(4) + b"".join(frames))
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(data)) + data for name, data in chunks)


def halves(sound: np.ndarray, coding: str, rate: int = RATE) -> bytes:
    """An Ogg of two streams, one after the other."""
    middle = len(sound) // 2
    return sndfile(sound[:middle], "OGG", coding, rate) + sndfile(sound[middle:], "OGG", coding, rate)


def with_picture(mp3: bytes) -> bytes:
    """An MP3 behind a tag of ID3 with a picture in which bytes stand as a frame of MPEG begins with."""
    picture = b"\0image/jpeg\0\3\0" + b"\xff\xfb\x90\x64" * 5000
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame + mp3


BEXT, IXML = chunk(b"bext", b"H1n recorder".ljust(603, b"\0")), chunk(b"iXML", b"<BWFXML/>")
GUANO = chunk(b"guan", b"GUANO|Version: 1.0\n")
JUNK, LIST = chunk(b"JUNK", b"\xee" * 4095), chunk(b"LIST", b"INFOICMT" + b"\x40\0\0\0" + b"AudioMoth".ljust(64))

Writer = Callable[[np.ndarray], bytes]
EXACT: dict[str, Writer] = {
    "chunks before.wav": lambda x: wav(x, before=JUNK + BEXT + IXML + LIST),
    "chunks behind.wav": lambda x: wav(x, after=GUANO + LIST + BEXT + JUNK + chunk(b"id3 ", b"ID3\3" + b"\x7f" * 9000)),
    "extensible.wav": lambda x: wav(x, 16, EXTENSIBLE),
    "24 bits.wav": lambda x: wav(x, 24),
    "24 in 32 bits.wav": lambda x: wav(x, 32, EXTENSIBLE),
    "4 channels.wav": lambda x: wav(np.stack([x] * 4, axis=1), 24, EXTENSIBLE),
    "6 channels.wav": lambda x: wav(np.stack([x] * 6, axis=1), 16, EXTENSIBLE),
    "float.wav": lambda x: sndfile(x, "WAV", "FLOAT"),
    "rf64.wav": lambda x: sndfile(x, "RF64", "PCM_24"),
    "x.w64": lambda x: sndfile(x, "W64", "PCM_16"),
    "x.aiff": lambda x: sndfile(x, "AIFF", "PCM_24"),
    "float.aifc": lambda x: sndfile(x, "AIFF", "FLOAT"),
    "sowt.aifc": lambda x: ffmpeg(x, "aiff", "pcm_s16le"),
    "pcm.caf": lambda x: sndfile(x, "CAF", "PCM_24"),
    "alac.caf": lambda x: ffmpeg(x, "caf", "alac"),
    "alac.m4a": lambda x: ffmpeg(x, "ipod", "alac"),
    "x.flac": lambda x: sndfile(x, "FLAC", "PCM_24"),
    "x.au": lambda x: sndfile(x, "AU", "PCM_16"),
}
LOSSY: dict[str, Writer] = {
    "aac.m4a": lambda x: ffmpeg(x, "ipod", "aac"),
    "x.aac": lambda x: ffmpeg(x, "adts", "aac"),
    "aac.caf": caf_aac,
    "ima4.caf": lambda x: ffmpeg(x, "caf", "adpcm_ima_qt"),
    "amr.3gp": lambda x: ffmpeg(x, "3gp", "libopencore_amrnb", 8000, 12_200),
    "x.amr": lambda x: ffmpeg(x, "amr", "libopencore_amrnb", 8000, 12_200),
    "x.wma": lambda x: ffmpeg(x, "asf", "wmav2", bit_rate=64_000),
    "x.webm": lambda x: ffmpeg(x, "webm", "libopus", 48_000),
    "video.mp4": lambda x: ffmpeg(x, "mp4", "aac", video=2),
    "x.mp3": lambda x: with_picture(sndfile(x, "MP3", "MPEG_LAYER_III")),
    "vorbis.ogg": lambda x: sndfile(x, "OGG", "VORBIS"),
    "x.opus": lambda x: sndfile(x, "OGG", "OPUS", 48_000),
    "chain of vorbis.ogg": lambda x: halves(x, "VORBIS"),
    "chain of opus.ogg": lambda x: halves(x, "OPUS", 48_000),
    "adpcm.wav": lambda x: sndfile(x, "WAV", "IMA_ADPCM"),
}
