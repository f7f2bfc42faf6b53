"""Every format that is compressed -> blocks of samples, by PyAV, which brings FFmpeg with it."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from loaders.decoders.reasons import ROUNDED, Heard
from loaders.decoders.slices import Slice

try:
    import av
except ImportError:
    av = None

BLOCK = 1 << 18  # values yielded at a time
FORMATS = (  # sound, and video with sound; not playlists and scripts, which can name other files and hosts
    "aac,ac3,aiff,amr,ape,asf,au,avi,avr,caf,dsf,dts,dtshd,eac3,flac,flv,iff,ircam,loas,matroska,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,nistsphere,nut,ogg,pvf,qcp,rm,sds,shn,sox,tak,tta,voc,w64,wav,wv,wve,xwma"
)
TELLING = {"mov", "ogg", "asf", "matroska", "caf", "wv", "tta", "ape", "mpc8", "dsf", "flac", "flv", "mp3"}
FRAMES_ONLY = {"aac", "amr", "ac3", "eac3"}  # formats in which nothing but the frames of sound has a place
SYNCED = {"mp3", "aac"}  # formats whose frames begin with 255; what else comes behind them is a tag
UNFINISHED = "its index is missing, so it was cut off or never finished; repair it with the program that made it"
UNKNOWN = "it is of no known format, or damaged at its beginning; replace it, or take it away"


def read_compressed(source: Slice, told: bool, heard: Heard) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks (n, channels) float32 and their rates in Hz, of what can be read; where that is nothing, heard says why.

    told: whether a length that the file's header may tell is one.
    """
    if av is None:
        heard.reason = "is compressed, and needs PyAV to be read: pip install av"
        return
    waiting, rate, size = [], 0, 0  # samples of one rate and number of channels
    try:
        for samples, its_rate in _frames(source, told, heard):
            if waiting and (size >= BLOCK or its_rate != rate or samples.shape[1] != waiting[0].shape[1]):
                yield np.concatenate(waiting), rate
                waiting, size = [], 0
            waiting.append(samples)
            rate, size = its_rate, size + samples.size
    except Exception as error:  # of a stranger's file a decoder may say anything
        heard.reason, heard.cut = _reason(error, source), True
    if waiting:
        yield np.concatenate(waiting), rate


def _frames(source: Slice, told: bool, heard: Heard) -> Iterator[tuple[np.ndarray, int]]:
    source.seek(0)
    with av.open(source, metadata_errors="ignore", container_options={"format_whitelist": FORMATS}) as container:
        if not (tracks := container.streams.audio):
            heard.reason = "has no sound"
            return
        if len(tracks) > 1:
            heard.remarks.append(f"has {len(tracks)} sound tracks; the first is used")
        track, walked, lost, sizes = tracks[0], 0.0, 0.0, {}
        kinds = set(container.format.name.split(","))
        try:
            for packet in container.demux(track):
                if head := bytes(packet)[:3]:
                    heard.cut = "mp3" in kinds and packet.size < sizes.setdefault(head, packet.size)
                length = float((packet.duration or 0) * (packet.time_base or 0))
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    lost, heard.cut = lost + length, head[:1] == b"\xff" or kinds.isdisjoint(SYNCED)
                    continue
                walked, heard.bytes = walked + length, heard.bytes + packet.size
                for frame in frames:
                    heard.seconds += frame.samples / frame.sample_rate
                    yield _samples(frame), frame.sample_rate
        finally:
            heard.seconds = max(heard.seconds, walked)  # a decoder takes off what the encoder put before the sound
            length = float(track.duration * track.time_base) if track.duration else (container.duration or 0) / 1e6
            telling = told and kinds & TELLING and length
            heard.promised = length if telling and length > heard.seconds + ROUNDED else heard.seconds + lost
            heard.cut &= not telling
            if kinds & FRAMES_ONLY and heard.bytes:
                heard.promised = max(heard.promised, heard.seconds * source.size / heard.bytes)


def _reason(error: Exception, source: Slice) -> str:
    if isinstance(error, av.error.DecoderNotFoundError):
        return "not readable as audio: its coding is not known, or protected; convert it to wav or FLAC"
    source.seek(0)
    indexed = re.match(rb".{4}ftyp|caff", source.read(8), re.DOTALL)
    return f"not readable as audio: {UNFINISHED if indexed else UNKNOWN}"


def _samples(frame: Any) -> np.ndarray:
    """A frame's samples, (n, channels) float32."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32)
    floats = values.astype(np.float32) - (128 if values.dtype == np.uint8 else 0)
    return floats * np.float32(2.0 ** (1 - 8 * values.itemsize))
