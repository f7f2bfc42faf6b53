"""Sections: the curated clips that the model ranks worst, and the noisy labels that it believes least."""

import io
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np
import soundfile as sf
import soxr

from loaders.audio import UnusableClipError, read_mono, trim_silence
from loaders.clip_features import locate
from loaders.pcen import AudioSettings, audio_settings, pcen_mel
from predicting.metrics import clip_lwlrap
from predicting.splits import SPLITS
from reporting.markup import Section, data_uri, paragraph
from reporting.results import Results

TOP = 5  # predicted labels that a card shows
HEIGHT, PIXELS_PER_SECOND = 160, 100  # of the picture; a frame is 10 ms, so one pixel wide
JPEG_QUALITY = 72  # of 100
MP3_RATE, MP3_SQUEEZE = 32_000, 0.945  # Hz; of 1.  Every browser plays it, and goes to a second where it lies exactly
MP3_BYTES = 6000  # of a second, by MP3_SQUEEZE
PEAK = 0.9  # of full scale: quiet clips shall be heard too


def hardest_section(results: Results, most: int, seconds: float) -> Section:
    """The curated clips with the lowest lwlrap, out of fold, `most` of them, the first `seconds` of each."""
    truth, probabilities = results.held_out()
    scores, belief = clip_lwlrap(truth, probabilities), least_belief(truth, probabilities)
    worst = [i for i in np.lexsort((belief, scores)) if truth[i].any()][:most]
    lead = (
        "Curated clips with the lowest lwlrap, each predicted by the fold that held it out. What is wrong here may be "
        "the model or the label: listen."
    )
    cards = _cards(results, "val", {i: f"lwlrap {scores[i]:.3f}" for i in worst}, seconds)
    return Section("hardest", "Hardest curated clips", lead, cards)


def doubtful_section(results: Results, most: int, seconds: float) -> Section | None:
    """The noisy clips with the least believed given label; None for a data set without noisy clips."""
    subset, title = results.corpus.subsets.get("train_noisy"), "Doubtful noisy labels"
    if subset is None:
        return None
    lead = (
        "Noisy clips by the least believed of their given labels, mean of the folds. If the folds were trained on "
        "these labels, as they are by default, then what they still do not believe is all the more doubtful."
    )
    if "train_noisy" not in results.tables:
        how = "Predict the noisy clips with test.py --split train_noisy for every fold, and they are shown here."
        return Section("doubtful", title, lead, paragraph(how))
    belief = least_belief(subset.truth, results.tables["train_noisy"][1])
    worst = [i for i in np.argsort(belief, kind="stable")[:most] if subset.truth[i].any()]
    cards = _cards(results, "train_noisy", {i: f"belief {belief[i]:.1%}" for i in worst}, seconds)
    return Section("doubtful", title, lead, cards)


def least_belief(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The smallest probability among each clip's given labels (N,); infinite for a clip without labels."""
    return np.where(truth, probabilities, np.inf).min(axis=1)


def clip_samples(folder: Path, fname: str, settings: AudioSettings, seconds: float) -> np.ndarray:
    """The first seconds (n,) float32 of a clip as the network hears it, silence cut off.  Raises UnusableClipError."""
    samples = read_mono(locate(folder, fname), settings.sampling_rate, settings.cancel_db)
    return trim_silence(samples, settings.trim_db)[: round(seconds * settings.sampling_rate)]


def picture(samples: np.ndarray, settings: AudioSettings) -> bytes:
    """Samples (n,) -> JPEG of their PCEN mel spectrogram, time to the right, low bands at the bottom."""
    width = max(round(len(samples) / settings.sampling_rate * PIXELS_PER_SECOND), 2)
    return coloured(pcen_mel(samples, settings), width)


def coloured(features: np.ndarray, width: int) -> bytes:
    """Features (frames, n_mels) -> JPEG of them, `width` pixels wide."""
    mel = features.T[::-1]
    low, high = np.percentile(mel, (1, 99.7))
    levels = np.clip((mel - low) / max(high - low, 1e-6), 0, 1)
    enlarged = cv2.resize((levels * 255).astype(np.uint8), (width, HEIGHT), interpolation=cv2.INTER_LINEAR)
    in_colour = cv2.applyColorMap(enlarged, cv2.COLORMAP_MAGMA)
    _, jpeg = cv2.imencode(".jpg", in_colour, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()


def sound(blocks: Iterable[np.ndarray], sampling_rate: int, peak: float) -> bytes:
    """Blocks of samples (n,) at that rate -> MP3; what is at `peak` comes to 0.9 of full scale."""
    gain, file, resampler = PEAK / max(peak, 1e-9), io.BytesIO(), soxr.ResampleStream(sampling_rate, MP3_RATE, 1)
    how = {"format": "MP3", "compression_level": MP3_SQUEEZE, "bitrate_mode": "CONSTANT"}
    with sf.SoundFile(file, "w", MP3_RATE, 1, **how) as mp3:
        for block in blocks:
            mp3.write(resampler.resample_chunk(block * np.float32(gain)))
        mp3.write(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return file.getvalue()


def _cards(results: Results, split: str, scores: dict[int, str], seconds: float) -> str:
    """HTML of clips of a split, by their rows, each with its score in words: picture, player, labels."""
    (fnames, probabilities), args = results.tables[split], next(results.folds(split))[2].args
    settings = audio_settings(args)
    subset, names, html = results.corpus.subset(SPLITS[split]), results.corpus.class_names, ""
    for i, score in scores.items():
        given, p, fname = np.flatnonzero(subset.truth_of([fnames[i]])[0]), probabilities[i], escape(fnames[i])
        try:
            samples = clip_samples(subset.folder, fnames[i], settings, seconds)
            image = data_uri("image/jpeg", picture(samples, settings))
            audio = data_uri("audio/mpeg", sound([samples], settings.sampling_rate, np.abs(samples).max()))
            media = (
                f'<div class="picture"><img alt="PCEN spectrogram of {fname}" src="{image}"><i></i></div>'
                f'<audio controls preload="metadata" aria-label="{fname}" src="{audio}"></audio>'
            )
        except UnusableClipError as error:
            media = paragraph(f"Cannot be shown: {error}")
        labels = "".join(_label(names[c], p[c], True) for c in given)
        predicted = "".join(_label(names[c], p[c], c in given) for c in np.argsort(-p, kind="stable")[:TOP])
        html += (
            f'<article class="clip">{media}<div class="name"><h3>{fname}</h3><span>{escape(score)}</span></div>'
            f"<p>given</p><ul>{labels}</ul><p>predicted</p><ul>{predicted}</ul></article>"
        )
    return f'<div class="clips">{html}</div>'


def _label(name: str, probability: float, given: bool) -> str:
    kind = ' class="given"' if given else ""
    return f'<li{kind} style="--p:{probability:.4f}"><b>{escape(name)}</b><span>{probability:.1%}</span></li>'
