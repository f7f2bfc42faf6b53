"""A data set of random features in Kaggle's layout, as train.py finds it after the feature step, and random sounds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile

from loaders.index import FORMAT, features_dir
from loaders.pcen import AudioSettings

NAME = "bench"  # of the data set in the config.json that write_dataset() makes
CLASSES = [f"Class_{number:02d}" for number in range(80)]
CURATED_SHARE = 4970 / 24_785  # of FSDKaggle2019's training clips
BLOCK = 1 << 18  # rows of random features that all clips are cut from


def curated_seconds(rng: np.random.Generator, n: int, shortest: float) -> np.ndarray:
    """Lengths (n,) of clips like the curated ones: log-normal, 5 s in the median, 7.6 s in the mean, at most 57.6 s."""
    return np.clip(rng.lognormal(np.log(5.0), 0.9, n), shortest, 57.6)


def write_dataset(folder: Path, n_clips: int, sparse: bool = False) -> None:
    """Fill a folder with config.json, CSVs of 80 classes and features of n_clips training clips.

    One clip in five is curated, the others are noisy and 15 s long, as in FSDKaggle2019.  sparse: the features are
    holes in a file, which take no disk and read as zeros; else they are random.
    """
    rng, curated, settings = np.random.default_rng(0), round(CURATED_SHARE * n_clips), AudioSettings()
    block = np.random.default_rng(0).random((0 if sparse else BLOCK, settings.n_mels), np.float32).astype(np.float16)
    features = features_dir(folder / "features", settings)
    features.mkdir(parents=True)
    config = {NAME: {"data_path": ".", "features_path": "features"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "sample_submission.csv").write_text(",".join(["fname", *CLASSES]) + "\n", encoding="utf-8")
    seconds = {"train_curated": curated_seconds(rng, curated, 2.0), "train_noisy": np.full(n_clips - curated, 15.0)}
    for split, lengths in seconds.items():
        fnames = [f"{split}_{number:06d}.wav" for number in range(len(lengths))]
        labels = np.array(CLASSES)[rng.permutation(len(lengths)) % len(CLASSES)]
        pd.DataFrame({"fname": fnames, "labels": labels}).to_csv(folder / f"{split}.csv", index=False)
        frames = 1 + (lengths * settings.sampling_rate).astype(int) // settings.hop_length
        starts, array = np.cumsum([0, *frames]), features / f"{split}.bench.npy"
        shape = int(starts[-1]), settings.n_mels
        rows = np.lib.format.open_memmap(array, "w+", np.float16, shape)  # all holes until it is written to
        for start in range(0, 0 if sparse else len(rows), BLOCK):
            rows[start : start + BLOCK] = block[: len(rows) - start]
        clips = [[name, int(start), int(n), name, 0, 0] for name, start, n in zip(fnames, starts, frames, strict=False)]
        index = {"format": FORMAT, "digest": settings.digest, "array": array.name, "clips": clips, "unusable": []}
        (features / f"{split}.json").write_text(json.dumps(index), encoding="utf-8")


def write_wavs(folder: Path, n: int, rate: int = 44_100) -> float:
    """Write 16-bit mono clips of decaying noise between silences; returns their seconds in all."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    seconds = curated_seconds(rng, n, 0.3)
    for number, length in enumerate(seconds):
        samples = int(length * rate)
        sound = rng.standard_normal(samples, np.float32) * np.exp(-4 * np.linspace(0, 1, samples, dtype=np.float32))
        sound[: samples // 20], sound[-samples // 20 :] = 0, 0
        wavfile.write(folder / f"{number:05d}.wav", rate, (0.2 * 32767 * sound.clip(-5, 5)).astype(np.int16))
    return float(seconds.sum())
