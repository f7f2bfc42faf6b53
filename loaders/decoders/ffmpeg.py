"""Every format that is compressed -> blocks of samples, by PyAV, which brings FFmpeg with it."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from loaders.decoders.joins import Slice, Span
from loaders.decoders.reasons import UnusableClipError

try:
    import av
except ImportError:
    av = None

BLOCK = 1 << 18  # values yielded at a time
FORMATS = (  # sound, and video with sound; not playlists and scripts, which can name other files and hosts
    "aac,ac3,aiff,amr,ape,asf,au,avi,avr,caf,dsf,dts,dtshd,eac3,flac,flv,iff,ircam,loas,matroska,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,nistsphere,nut,ogg,pvf,qcp,rm,sds,shn,sox,tak,tta,voc,w64,wav,wv,wve,xwma"
)
TELLING = {"mov", "ogg", "asf", "matroska", "caf", "wv", "tta", "ape", "mpc8", "dsf"}  # whose length is not estimated
ROUNDED = 0.1  # seconds by which the length that such a header tells may be wrong
UNFINISHED = "its index is missing, so it was cut off or never finished; repair it with the program that made it"
UNKNOWN = "it is of no known format, or damaged at its beginning; replace it, or take it away"


class Reader:
    """One file, of those that may be joined, and what was read of it.  Raises UnusableClipError without PyAV."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        if av is None:
            raise UnusableClipError("is compressed, and needs PyAV to be read: pip install av")
        self.source, self.span = Slice(file, span), span
        self.remarks: list[str] = []
        self.reason, self.seconds, self.promised = "", 0.0, 0.0
        self.bytes = 0

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """What can be read; where that is nothing, `reason` says why."""
        waiting: list[np.ndarray] = []  # of one rate and number of channels
        rate = size = 0
        try:
            for samples, its_rate in self._frames():
                if waiting and (size >= BLOCK or its_rate != rate or samples.shape[1] != waiting[0].shape[1]):
                    yield np.concatenate(waiting), rate
                    waiting, size = [], 0
                waiting.append(samples)
                rate, size = its_rate, size + samples.size
        except Exception as error:  # of a stranger's file a decoder may say anything
            if not self.seconds:
                self.reason = self._reason(error)
        if waiting:
            yield np.concatenate(waiting), rate

    def _frames(self) -> Iterator[tuple[np.ndarray, int]]:
        options = {"format_whitelist": FORMATS}
        with av.open(self.source, metadata_errors="ignore", container_options=options) as container:
            if not (tracks := container.streams.audio):
                raise UnusableClipError("has no sound")
            if len(tracks) > 1:
                self.remarks.append(f"has {len(tracks)} sound tracks; the first is used")
            track, walked, lost = tracks[0], 0.0, 0.0
            try:
                for packet in container.demux(track):
                    length = float((packet.duration or 0) * (packet.time_base or 0))
                    try:
                        frames = packet.decode()
                    except av.FFmpegError:
                        lost += length
                        continue
                    walked, self.bytes = walked + length, self.bytes + packet.size
                    for frame in frames:
                        self.seconds += frame.samples / frame.sample_rate
                        yield _samples(frame), frame.sample_rate
            finally:
                self.seconds = max(self.seconds, walked)  # a decoder takes off what the encoder put before the sound
                self.promised = self.span.promised or _promise(container, track, self.seconds) or self.seconds + lost

    def _reason(self, error: Exception) -> str:
        if isinstance(error, UnusableClipError):
            return str(error)
        self.source.seek(0)
        head = self.source.read(8)
        if isinstance(error, av.error.DecoderNotFoundError):
            return "not readable as audio: its coding is not known, or protected; convert it to wav or FLAC"
        indexed = head[4:8] == b"ftyp" or head[:4] == b"caff"
        return f"not readable as audio: {UNFINISHED if indexed else UNKNOWN}"


def _promise(container: Any, track: Any, seconds: float) -> float:
    """Seconds that the header tells, 0 where it tells nothing or nearly what was read."""
    if TELLING.isdisjoint(container.format.name.split(",")):
        return 0.0
    told = float(track.duration * track.time_base) if track.duration else (container.duration or 0) / 1e6
    return told if told > seconds + ROUNDED else 0.0


def _samples(frame: Any) -> np.ndarray:
    """A frame's samples, (n, channels) float32."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32)
    floats = values.astype(np.float32) - (128 if values.dtype == np.uint8 else 0)
    return floats * np.float32(2.0 ** (1 - 8 * values.itemsize))
