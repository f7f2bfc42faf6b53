"""A data set of random features in Kaggle's layout, as train.py finds it after the feature step.  No audio."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loaders.index import FORMAT, features_dir
from loaders.pcen import AudioSettings
from utils.errors import MisuseError

NAME = "bench"  # of the data set in the config.json that write_dataset() makes
TRAIN_FLAGS = f"--dataset {NAME} --num_folds 5 --use_mix_up --use_spec_aug".split()  # of train.py, for this data set
CLASSES = [f"Class_{number:02d}" for number in range(80)]
FULL_SIZE = 24_785  # clips of FSDKaggle2019's training set, 93 hours
CURATED_SHARE = 4970 / 24_785
TWO_LABELS = 0.15  # share of clips
SHORTEST, LONGEST = 2.0, 57.6  # seconds, after short clips were repeated
BLOCK = 1 << 18  # rows of random features that all clips are cut from


def curated_seconds(rng: np.random.Generator, n: int) -> np.ndarray:
    """Lengths (n,) of clips like the curated ones: log-normal, 5 s in the median, 7.6 s in the mean, at most 57.6 s."""
    return np.minimum(rng.lognormal(np.log(5.0), 0.9, n), LONGEST)


def write_dataset(folder: Path, n_clips: int, settings: AudioSettings, sparse: bool = False, seed: int = 0) -> None:
    """Fill a folder with config.json, CSVs of 80 classes and features of n_clips training clips.

    One clip in five is curated, the others are noisy and 15 s long, as in FSDKaggle2019.  sparse: the features are
    holes in a file, which take no disk and read as zeros; else they are random.
    """
    rng = np.random.default_rng(seed)
    curated = round(CURATED_SHARE * n_clips)
    if curated < 10 or n_clips - curated < len(CLASSES):
        raise MisuseError(f"--clips {n_clips}: {len(CLASSES)} classes need at least {len(CLASSES) / 0.79:.0f} clips")
    folder.mkdir(parents=True, exist_ok=True)
    config = {NAME: {"data_path": ".", "features_path": "features"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_csv(folder / "sample_submission.csv", [["fname", *CLASSES]])
    seconds = {
        "train_curated": np.maximum(curated_seconds(rng, curated), SHORTEST),
        "train_noisy": np.full(n_clips - curated, 15.0),
    }
    for split, lengths in seconds.items():
        fnames = [f"{split}_{number:06d}.wav" for number in range(len(lengths))]
        _write_csv(folder / f"{split}.csv", [["fname", "labels"], *zip(fnames, _labels(rng, len(fnames)), strict=True)])
        frames = 1 + (lengths * settings.sampling_rate).astype(int) // settings.hop_length
        _write_features(features_dir(folder / "features", settings), split, fnames, frames, settings, sparse, rng)


def _labels(rng: np.random.Generator, n: int) -> list[str]:
    """One or two labels per clip, every class as often as any other."""
    first = rng.permutation(np.resize(np.arange(len(CLASSES)), n))
    second = np.where(rng.random(n) < TWO_LABELS, (first + rng.integers(1, len(CLASSES), n)) % len(CLASSES), first)
    return [",".join(dict.fromkeys([CLASSES[a], CLASSES[b]])) for a, b in zip(first, second, strict=True)]


def _write_csv(path: Path, rows: Iterable[Iterable[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_features(
    folder: Path,
    split: str,
    fnames: list[str],
    frames: np.ndarray,
    settings: AudioSettings,
    sparse: bool,
    rng: np.random.Generator,
) -> None:
    """The flat array and its index, as loaders/features.py writes them (see loaders/index.py)."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum([0, *frames])
    array, shape = f"{split}.bench.npy", (int(starts[-1]), settings.n_mels)
    rows = np.lib.format.open_memmap(folder / array, "w+", np.float16, shape)  # all holes until it is written to
    if not sparse:
        block = rng.random((min(BLOCK, shape[0]), settings.n_mels), np.float32).astype(np.float16)
        for at in range(0, shape[0], len(block)):
            rows[at : at + len(block)] = block[: shape[0] - at]
    clips = [[name, int(start), int(n), "", 0, 0] for name, start, n in zip(fnames, starts, frames, strict=False)]
    index = {"format": FORMAT, "digest": settings.digest, "array": array, "clips": clips, "unusable": []}
    (folder / f"{split}.json").write_text(json.dumps(index), encoding="utf-8")


def write_clip_files(folder: Path, settings: AudioSettings, at_most: int) -> None:
    """Some of the data set's clips as one `plain/NAME.npy` each, (n_mels, frames) float32, as librosa gives them."""
    (folder / "plain").mkdir()
    features = features_dir(folder / "features", settings)
    for split in ("train_curated", "train_noisy"):
        index = json.loads((features / f"{split}.json").read_text(encoding="utf-8"))
        rows = np.load(features / index["array"], mmap_mode="r")
        every = max(1, 2 * len(index["clips"]) // at_most)
        for fname, start, length, *_ in index["clips"][::every]:
            np.save(folder / "plain" / f"{fname}.npy", rows[start : start + length].T.astype(np.float32))
