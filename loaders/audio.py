"""A sound file -> mono samples at one rate, without the silence around them and at least two seconds long."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from loaders.listing import UNREADABLE
from loaders.mixdown import lone_channel, sound_blocks

RATES = (1_000, 768_000)  # Hz; what a header claims outside of this is an error, not a recording
LONGEST = 3600.0  # seconds; bounds the memory that one clip can ask for: 1.3 GB
DENIED = "permission denied; make it readable"
LOUDEST = 1e10  # times full scale: what is beyond is damage, and its energy overflows
CANCEL_DB = 20.0  # channels whose mean is further below the loudest of them cancel each other out
FRAME, HOP = 2048, 512  # of the loudness that decides what is silence
# what libsndfile logs of a header that promises more than the file holds; the second is that of RF64
PROMISES = (
    re.compile(r"^ *(?:data|SSND|BODY|Data Size) *: (?P<promised>\d+) \(should be (?P<held>\d+)\)$", re.MULTILINE),
    re.compile(r"Calculated frame count (?P<held>\d+) does not match value from 'ds64' chunk of (?P<promised>\d+)"),
)


class UnusableClipError(Exception):
    """Why a file cannot be turned into features."""


def read_mono(
    path: Path, sampling_rate: int, cancel_db: float = CANCEL_DB, remarks: list[str] | None = None
) -> np.ndarray:
    """Samples (n,) float32 in about [-1, 1] of a clip of up to an hour.  Otherwise as `mono_blocks`."""
    parts, seen = [], 0
    for block in mono_blocks(path, sampling_rate, cancel_db, remarks):
        seen += len(block)
        if seen > LONGEST * sampling_rate:  # headers can be wrong, so what counts is what is read
            raise UnusableClipError(f"longer than {LONGEST:.0f} seconds; cut it into clips")
        parts.append(block)
    return np.concatenate(parts)


def mono_blocks(
    path: Path, sampling_rate: int, cancel_db: float = CANCEL_DB, remarks: list[str] | None = None
) -> Iterator[np.ndarray]:
    """Samples of a wav, FLAC, Ogg or other file that libsndfile reads, in blocks (n,) float32 of at least one.

    Channels are averaged, but where that loses more than `cancel_db` the loudest is taken alone; another rate is
    resampled (soxr, high quality).  Neither hours nor many channels cost memory.  remarks: gets what is odd about a
    file that can be used, before the first block.  Raises UnusableClipError with the reason, at once or when the
    block comes that is broken.
    """
    _check_file(path)
    seen, remarks = 0, [] if remarks is None else remarks
    try:
        with sf.SoundFile(path) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise UnusableClipError(f"claims a sampling rate of {file.samplerate} Hz")
            channel = lone_channel(path, cancel_db) if file.channels > 1 else None
            if channel is not None:
                remarks.append(f"its channels cancel out; channel {channel + 1} of {file.channels} is taken alone")
            remarks += _cut_off(file)
            for block in filter(len, _read_blocks(file, sampling_rate, channel)):
                _check_samples(block)
                seen += len(block)
                yield block
    except sf.LibsndfileError as error:
        remedy = "; convert it to wav or FLAC" if path.suffix.lower() in UNREADABLE else ""
        raise UnusableClipError(f"not readable as audio: {error.error_string.strip()}{remedy}") from None
    if seen == 0:
        raise UnusableClipError("holds no samples")


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError
    except FileNotFoundError:
        raise UnusableClipError("there is no such file") from None
    except PermissionError:  # of the file or of a folder above it
        raise UnusableClipError(DENIED) from None
    except OSError as error:  # a link that leads to itself, a name that is too long
        raise UnusableClipError(f"cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnusableClipError("is a folder, a pipe or a device")
    if status.st_size == 0:
        raise UnusableClipError("the file is empty (0 bytes)")
    if path.suffix.lower() == ".raw":
        raise UnusableClipError("has no header, so its sampling rate is unknown")


def _cut_off(file: sf.SoundFile) -> list[str]:
    """A remark if the file holds at least a hundredth less than its header promises.

    Programs that cannot go back to the header promise 2 or 4 GB, or nothing; such a file is whole.
    """
    log = file.extra_info
    promise = next(filter(None, (pattern.search(log) for pattern in PROMISES)), None)
    if promise is None:
        return []
    promised, held = int(promise["promised"]), int(promise["held"])
    if -promised % (1 << 31) < 1 << 16 or held > 0.99 * promised or held == 0:
        return []
    seconds = file.frames / file.samplerate
    whole = seconds * promised / held
    return [f"it was cut off: holds {seconds:.2f} of the {whole:.2f} seconds that its header promises"]


def _read_blocks(file: sf.SoundFile, sampling_rate: int, channel: int | None) -> Iterator[np.ndarray]:
    resampler = None
    if file.samplerate != sampling_rate:
        resampler = soxr.ResampleStream(file.samplerate, sampling_rate, 1, dtype="float32")
    alone = 0 if file.channels == 1 else channel
    for block in sound_blocks(file):
        mono = block.mean(axis=1) if alone is None else np.ascontiguousarray(block[:, alone])
        yield resampler.resample_chunk(mono) if resampler else mono
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _check_samples(samples: np.ndarray) -> None:
    peak = max(samples.max(), -samples.min())  # NaN if any sample is
    if not np.isfinite(peak):
        raise UnusableClipError("holds samples that are not finite")
    if peak > LOUDEST:
        raise UnusableClipError(f"holds samples as large as {peak:.2g}, where 1 is full scale")


def trim_silence(samples: np.ndarray, top_db: float = 60.0) -> np.ndarray:
    """Cut what is more than `top_db` below the loudest frame off both ends; pure silence is left whole.

    The same frames and thresholds as `librosa.effects.trim` (RMS over 2048 samples every 512, floor 1e-5), but
    each sample is squared once, not four times.
    """
    whole = len(samples) // HOP
    blocks, tail = samples[: whole * HOP].reshape(-1, HOP), samples[whole * HOP :]
    energy = np.zeros(whole + FRAME // HOP)  # of each block, between half a frame of zeros at either end
    edge = FRAME // HOP // 2
    energy[edge : edge + whole] = np.einsum("ij,ij->i", blocks, blocks)
    energy[edge + whole] = np.dot(tail, tail)
    power = np.convolve(energy, np.ones(FRAME // HOP), mode="valid") / FRAME
    floor = 1e-10
    loud = np.flatnonzero(np.maximum(power, floor) > max(power.max(), floor) * 10 ** (-top_db / 10))
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP]


def wrap(samples: np.ndarray, shortest: int) -> np.ndarray:
    """Repeat a clip from its start until it is `shortest` samples long; a longer one is returned as it is."""
    return samples if len(samples) >= shortest else np.resize(samples, shortest)
