"""A sound file -> mono samples at one rate, without the silence around them and at least two seconds long."""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from loaders.decoders import decode
from loaders.decoders.reasons import UnusableClipError
from loaders.mixdown import to_mono

RATES = (1_000, 768_000)  # Hz; what a header claims outside of this is an error, not a recording
LONGEST = 3600.0  # seconds; bounds the memory that one clip can ask for: 1.3 GB
DENIED = "permission denied; make it readable"
LOUD = 8.0  # times full scale: no recording, but whole numbers that were written as floats
LOUDEST = 1e10  # times full scale: what is beyond is damage, and its energy overflows
CANCEL_DB = 20.0  # channels whose mean is further below the loudest of them cancel each other out
FRAME, HOP = 2048, 512  # of the loudness that decides what is silence


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
    """Samples of a sound file of any format, in blocks (n,) float32 of at least one.

    Channels become one as `to_mono` says, and what is constant is taken off; another rate is resampled (soxr, high
    quality).  Neither hours nor many channels cost memory.  remarks: gets what is odd about a file that can be used,
    when the last block has come.  Raises UnusableClipError with the reason, at once or where the file is broken.
    """
    _check_file(path)
    peak, remarks = -1.0, [] if remarks is None else remarks
    try:
        for block in filter(len, _resampled(to_mono(partial(decode, path), cancel_db, remarks), sampling_rate)):
            peak = max(peak, _peak(block))
            yield block
    except OSError as error:  # a disk that fails on the way
        raise UnusableClipError(f"cannot be read: {error.strerror or error}") from None
    if peak < 0:
        raise UnusableClipError("holds no samples")
    if peak >= LOUD:
        remarks.append(
            f"its samples reach {peak:.4g} times full scale, perhaps whole numbers written as floats; its labels are "
            "those of a recording that loud"
        )


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnusableClipError("there is no such file") from None
    except OSError as error:  # a folder above that is closed, a link that leads to itself, a name that is too long
        denied = isinstance(error, PermissionError)
        raise UnusableClipError(DENIED if denied else f"cannot be opened: {error.strerror}") from None
    reasons = {
        "is a folder, a pipe or a device": not stat.S_ISREG(status.st_mode),
        DENIED: not os.access(path, os.R_OK),
        "the file is empty (0 bytes)": status.st_size == 0,
        "has no header, so its sampling rate is unknown": path.suffix.lower() == ".raw",
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), None):
        raise UnusableClipError(reason)


def _resampled(blocks: Iterator[tuple[np.ndarray, int]], sampling_rate: int) -> Iterator[np.ndarray]:
    """Blocks (n,) at one rate; where files were joined, theirs may change on the way."""
    rate, resampler, rest = 0, None, np.zeros(0, np.float32)
    for block, its_rate in blocks:
        if its_rate != rate:
            if not RATES[0] <= its_rate <= RATES[1]:
                raise UnusableClipError(f"claims a sampling rate of {its_rate} Hz")
            if resampler:
                yield resampler.resample_chunk(rest, last=True)
            rate = its_rate
            resampler = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32") if rate != sampling_rate else None
        yield resampler.resample_chunk(block) if resampler else block
    if resampler:
        yield resampler.resample_chunk(rest, last=True)


def _peak(samples: np.ndarray) -> float:
    peak = max(samples.max(), -samples.min())  # NaN if any sample is
    if not np.isfinite(peak):
        raise UnusableClipError("holds samples that are not finite")
    if peak > LOUDEST:
        raise UnusableClipError(f"holds samples as large as {peak:.2g}, where 1 is full scale")
    return float(peak)


def trim_silence(samples: np.ndarray, top_db: float = 60.0) -> np.ndarray:
    """Cut what is more than `top_db` below the loudest frame off both ends; pure silence is left whole.

    The same frames and thresholds as `librosa.effects.trim` (RMS over 2048 samples every 512, floor 1e-5), but
    each sample is squared once, not four times.
    """
    blocks = np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, HOP)
    energy = np.convolve(np.einsum("ij,ij->i", blocks, blocks), np.ones(FRAME // HOP))  # of a block and those before it
    first, floor = FRAME // HOP // 2 - 1, 1e-10
    power = energy[first : first + len(samples) // HOP + 1] / FRAME  # of the frames centred on every HOP-th sample
    loud = np.flatnonzero(np.maximum(power, floor) > max(power.max(), floor) * 10 ** (-top_db / 10))
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP]


def wrap(samples: np.ndarray, shortest: int) -> np.ndarray:
    """Repeat a clip from its start until it is `shortest` samples long; a longer one is returned as it is."""
    return samples if len(samples) >= shortest else np.resize(samples, shortest)
