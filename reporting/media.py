"""What a clip looks and sounds like: its PCEN picture as a JPEG and the same seconds as an MP3, in memory."""

import io
from pathlib import Path

import cv2
import numpy as np
import soundfile as sf
import soxr

from loaders.audio import read_mono, trim_silence
from loaders.clip_features import locate
from loaders.pcen import AudioSettings, pcen_mel

HEIGHT, PIXELS_PER_SECOND = 160, 100  # of the picture; a frame is 10 ms, so one pixel wide
JPEG_QUALITY = 72  # of 100
MP3_RATE, MP3_SQUEEZE = 32_000, 0.7  # Hz; of 1.  About 50 kbit/s, and every browser plays it
PEAK = 0.9  # of full scale: quiet clips shall be heard too


def clip_samples(folder: Path, fname: str, settings: AudioSettings, seconds: float) -> np.ndarray:
    """The first seconds (n,) float32 of a clip as the network hears it, silence cut off.  Raises UnusableClipError."""
    samples = read_mono(locate(folder, fname), settings.sampling_rate, settings.cancel_db)
    return trim_silence(samples, settings.trim_db)[: round(seconds * settings.sampling_rate)]


def picture(samples: np.ndarray, settings: AudioSettings) -> bytes:
    """Samples (n,) -> JPEG of their PCEN mel spectrogram, time to the right, low bands at the bottom."""
    mel = pcen_mel(samples, settings).T[::-1]  # (n_mels, frames)
    low, high = np.percentile(mel, (1, 99.7))
    levels = np.clip((mel - low) / max(high - low, 1e-6), 0, 1)
    width = max(round(len(samples) / settings.sampling_rate * PIXELS_PER_SECOND), 2)
    enlarged = cv2.resize((levels * 255).astype(np.uint8), (width, HEIGHT), interpolation=cv2.INTER_LINEAR)
    _, jpeg = cv2.imencode(
        ".jpg", cv2.applyColorMap(enlarged, cv2.COLORMAP_MAGMA), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    return jpeg.tobytes()


def sound(samples: np.ndarray, sampling_rate: int) -> bytes:
    """Samples (n,) at that rate -> MP3, its peak at 0.9 of full scale."""
    if sampling_rate != MP3_RATE:
        samples = soxr.resample(samples, sampling_rate, MP3_RATE)
    peak = np.abs(samples).max(initial=0.0)
    file = io.BytesIO()
    sf.write(
        file, samples * (PEAK / peak if peak > 0 else 1.0), MP3_RATE,
        format="MP3", compression_level=MP3_SQUEEZE, bitrate_mode="VARIABLE",
    )  # fmt: skip
    return file.getvalue()
