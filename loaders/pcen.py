"""Samples -> per-channel energy normalized mel spectrogram, block by block, equal to librosa's within 1e-4.

librosa has the same function.  This one exists because it also works on a stream of any length, and is faster, since
the buffers that it reuses stay in the cache (docs/speed.md).

PCEN: Wang et al., "Trainable frontend for robust and far-field keyword spotting", ICASSP 2017, eq. 1-2; the
parameters' meaning: Lostanlen et al., "Per-channel energy normalization: why and how", IEEE SPL 2019.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse

BLOCK = 64  # frames at a time: their windows and spectra stay in the cache
PIECE = 6000  # hops of samples that are copied at a time


@dataclass(frozen=True)
class AudioSettings:
    """Everything that the features depend on.  Another rate keeps 10 ms hops and windows of at least 25 ms."""

    sampling_rate: int = 44100  # Hz
    n_mels: int = 128
    fmin: float = 20.0  # Hz
    fmax: float = 22050.0  # Hz, or half the sampling rate where that is less
    shortest: float = 2.0  # seconds; shorter clips are repeated
    trim_db: float = 60.0  # below the loudest frame
    gain: float = 0.5
    bias: float = 0.001
    power: float = 0.2
    time_constant: float = 0.4  # seconds
    eps: float = 1e-9
    cancel_db: float = 20.0  # channels whose mean is further below the loudest of them: that one is taken alone
    revision: int = 4  # of reading and computing: features of another one are made again

    @property
    def hop_length(self) -> int:
        """Samples between frames: 10 ms."""
        return self.sampling_rate // 100

    @property
    def n_fft(self) -> int:
        """Samples in a window: the power of two that first holds 25 ms."""
        return 1 << (int(0.025 * self.sampling_rate) - 1).bit_length()

    @property
    def digest(self) -> str:
        """Short hash that tells features of these settings from any others."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def audio_settings(args: argparse.Namespace | Mapping[str, Any]) -> AudioSettings:
    """Of the features that a script's arguments, or those in a checkpoint, ask for."""
    args = args if isinstance(args, Mapping) else vars(args)
    return AudioSettings(args["sampling_rate"], args["img_rows"])


def pcen_mel(samples: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """PCEN of a whole clip: samples (n,) float32, n >= 1 -> (1 + n // hop_length, n_mels) float32, time first.

    Reference: `librosa.feature.melspectrogram(power=1, pad_mode="reflect")`, then `librosa.pcen` with a `zi` from each
    band's own first frame.  So the start of a sound has the same pattern at every level.
    """
    step = PIECE * settings.hop_length
    pieces = (samples[at : at + step] for at in range(0, len(samples), step))
    return np.concatenate(list(pcen_stream(pieces, settings)))


def pcen_stream(blocks: Iterable[np.ndarray], settings: AudioSettings) -> Iterator[np.ndarray]:
    """As pcen_mel, of a recording whose samples come in blocks (n,) of any length, without holding it whole.

    Yields (frames, n_mels) float32, as soon as the samples of a frame are there.  The smoother's state is carried
    from block to block.
    """
    from scipy.signal import lfilter  # as the import of librosa below

    b, state = _smoothing(settings), None
    for mel in _mel_blocks(blocks, settings):
        if state is None:  # as if each band had always been as in the first frame
            state = (1 - b) * mel[:1].astype(np.float64)
        smooth, state = lfilter([b], [1, b - 1], mel.astype(np.float64), axis=0, zi=state)
        yield _compress(mel, smooth.astype(np.float32), settings)


def _mel_blocks(blocks: Iterable[np.ndarray], settings: AudioSettings) -> Iterator[np.ndarray]:
    """Samples in blocks (n,) -> magnitudes in mel bands, (frames, n_mels) float32."""
    hop, n_fft, bank, window = settings.hop_length, settings.n_fft, _mel_bank(settings), _window(settings.n_fft)
    # memory that is allocated for each block costs more, page by page, than the transform that fills it
    bins = n_fft // 2 + 1
    buffers = np.empty((BLOCK, n_fft)), np.empty((BLOCK, bins), complex), np.empty((BLOCK, bins), np.float32)
    held = np.zeros(0, np.float32)  # samples from the first frame that is still to come
    for block in _reflected(blocks, n_fft // 2):
        held = np.concatenate([held, block])
        ready = max((len(held) - n_fft) // hop + 1, 0)
        for at in range(0, ready, BLOCK):
            last = min(at + BLOCK, ready) - 1
            frames = np.lib.stride_tricks.sliding_window_view(held[at * hop : last * hop + n_fft], n_fft)[::hop]
            windowed, spectra, magnitudes = (buffer[: len(frames)] for buffer in buffers)
            # in single precision the rounding of loud bands, 1e-7 of them, would drown quiet ones
            np.multiply(frames, window, out=windowed)
            np.fft.rfft(windowed, axis=1, out=spectra)
            np.abs(spectra, out=magnitudes, casting="same_kind")
            yield (bank @ magnitudes.T).T
        held = held[ready * hop :]


def _reflected(blocks: Iterable[np.ndarray], half: int) -> Iterator[np.ndarray]:
    """The samples with `half` more at either end, mirrored there as `np.pad(mode="reflect")` does."""
    blocks, head = iter(blocks), np.zeros(0, np.float32)
    while len(head) <= half and (block := next(blocks, None)) is not None:
        head = np.concatenate([head, block])
    if len(head) <= half:  # shorter than half a window: mirrored several times
        yield np.pad(head, half, mode="reflect")
        return
    yield np.concatenate([head[half:0:-1], head])
    tail = head[-half - 1 :]
    for block in blocks:
        yield block
        tail = np.concatenate([tail, block])[-half - 1 :]
    yield tail[-2::-1]


def _smoothing(settings: AudioSettings) -> float:
    """The smoother's b for the time constant: half power at 1 / time_constant (librosa's rule)."""
    frames = settings.time_constant * settings.sampling_rate / settings.hop_length
    return float((np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2))


def _compress(mel: np.ndarray, smooth: np.ndarray, settings: AudioSettings) -> np.ndarray:
    """Adaptive gain control, then the root: (E / (eps + M)^gain + bias)^power - bias^power.

    Powers by logarithms, which numpy computes several values at a time.
    """
    gained = mel * np.exp(-settings.gain * np.log(settings.eps + smooth))
    return np.exp(settings.power * np.log(gained + settings.bias)) - settings.bias**settings.power


@lru_cache(maxsize=4)
def _window(n_fft: int) -> np.ndarray:
    """Hann's, periodic: (n_fft,) float64."""
    return np.hanning(n_fft + 1)[:-1]


@lru_cache(maxsize=4)
def _mel_bank(settings: AudioSettings) -> scipy.sparse.csr_array:
    """Slaney's mel filters, (n_mels, n_fft / 2 + 1), of which 1 in 65 is not zero."""
    from librosa.filters import mel  # a second of imports that only the feature step should pay

    fmax = min(settings.fmax, settings.sampling_rate / 2)
    bank = mel(sr=settings.sampling_rate, n_fft=settings.n_fft, n_mels=settings.n_mels, fmin=settings.fmin, fmax=fmax)
    return scipy.sparse.csr_array(bank)
