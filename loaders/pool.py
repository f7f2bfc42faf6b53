"""Which clips a fold trains on and which it holds out, with their labels, and the targets made of these."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from loaders import get_data_path, get_features_path
from loaders.clips import Clips, usable_clips
from loaders.folds import deal_folds, settle_folds
from loaders.index import features_dir
from loaders.layouts import SUBSETS, Corpus, Subset, read_corpus
from loaders.pcen import AudioSettings
from utils.digests import ALL_LABELS, MadeFrom, digest
from utils.errors import UserError, one_line

# Curated clips of FSDKaggle2019 with wrong or broken content.  As in the original solution they count as noisy ones:
# no fold holds them out, and they are trained on where noisy clips are, with softened labels.
MISLABELLED = {f"{name}.wav" for name in ("f76181c4", "77b925c2", "6a1f682a", "c7db12aa", "7752cc8a", "1d44b0bd")}


@dataclass(frozen=True)
class Pool:
    """The usable clips of a fold.  Labels are (N, C) bool."""

    corpus: Corpus
    curated: Clips
    curated_truth: np.ndarray
    noisy: Clips
    noisy_truth: np.ndarray
    held_out: Clips
    held_out_truth: np.ndarray

    @property
    def clips(self) -> Clips:
        """The training clips, curated ones first."""
        return self.curated + self.noisy if len(self.noisy) else self.curated

    def targets(self, noisy_weight: float) -> np.ndarray:
        """(N, C) float32 in [0, 1] of the training clips; those of noisy ones are softened."""
        return np.concatenate([self.curated_truth, soften(self.noisy_truth, noisy_weight)]).astype(np.float32)


def read_pool(
    dataset: str,
    split: str,
    settings: AudioSettings,
    seed: int,
    fold_num: int = 0,
    num_folds: int | None = None,
    fold_split: str | None = None,
    keep_noisy: Collection[str] | None = None,
) -> Pool:
    """The clips of a fold.  Raises UserError on data that cannot be used.

    split: a key of SUBSETS but "test".  seed: of the folds.  num_folds, fold_split: None takes what the data set gives
    (see `settle_folds`).  keep_noisy: file names of the noisy clips to train on; None: all.
    """
    corpus = read_corpus(get_data_path(dataset))
    subset = corpus.subset("train_curated")
    fold_split, num_folds = settle_folds(subset, fold_split, num_folds)
    clips, truth = labelled_clips(dataset, corpus, "train_curated", settings)
    known = subset.select(subset.rows_of(clips.fnames))
    trusted = np.array([fname not in MISLABELLED for fname in clips.fnames])
    folds = deal_folds(known, trusted, corpus.class_names, num_folds, seed, fold_split)
    held_out = np.flatnonzero(folds == fold_num)
    if not len(held_out):
        raise UserError(f"fold {fold_num} of {num_folds} holds out no usable clip, so nothing could be scored")

    curated = np.flatnonzero(trusted & (folds != fold_num)) if "train_curated" in SUBSETS[split] else held_out[:0]
    noisy, noisy_truth = clips.select(held_out[:0]), truth[:0]
    if split == "train_noisy" or (split == "train" and "train_noisy" in corpus.subsets):
        noisy, noisy_truth = _noisy_clips(dataset, corpus, settings, known.groups, held_out, keep_noisy)
        if not trusted.all() and keep_noisy is None:
            doubtful = np.flatnonzero(~trusted)
            noisy, noisy_truth = noisy + clips.select(doubtful), np.concatenate([noisy_truth, truth[doubtful]])
    pool = Pool(
        corpus, clips.select(curated), truth[curated], noisy, noisy_truth, clips.select(held_out), truth[held_out]
    )
    _name_mislabelled(clips.fnames, pool.clips.fnames)
    if not len(pool.clips):
        raise UserError(f"no clip is left to train on: none of --split {split} is usable and believable")
    return pool


def soften(truth: np.ndarray, weight: float) -> np.ndarray:
    """Targets (N, C) of doubtful labels: `weight` on each listed label, the rest spread over the others."""
    listed = truth.sum(axis=1, keepdims=True)
    others = truth.shape[1] - listed
    return np.where(truth, weight, (1 - weight) / np.maximum(others, 1)).astype(np.float32)


def made_from(pool: Pool, targets: np.ndarray) -> MadeFrom:
    """Digests of all that a training depends on, by what it is, in words for the message that names what changed."""
    clips, subsets = pool.clips, [pool.corpus.subsets[name] for name in SUBSETS["train"] if name in pool.corpus.subsets]
    return {
        "the training clips": digest(clips.fnames),
        "the features of the training clips": digest(clips.digests),
        "the labels or weights of the training clips": digest(targets),
        "the held-out clips": digest(pool.held_out.fnames),
        "the features of the held-out clips": digest(pool.held_out.digests),
        "the labels of the held-out clips": digest(pool.held_out_truth),
        ALL_LABELS: digest([part for subset in subsets for part in (digest(subset.fnames), digest(subset.truth))]),
    }


def labelled_clips(dataset: str, corpus: Corpus, split: str, settings: AudioSettings) -> tuple[Clips, np.ndarray]:
    """The usable clips of a training subset in the order of its CSV, and their labels (N, C) bool."""
    subset = corpus.subset(split)
    clips = usable_clips(dataset, split, subset.fnames, settings)
    if len(clips) < len(subset.fnames):
        usable = set(clips.fnames)
        broken = [one_line(fname, 100) for fname in subset.fnames if fname not in usable]
        reasons = features_dir(get_features_path(dataset), settings) / f"{split}_unusable.csv"
        names = ", ".join(broken[:10]) + (", ..." if len(broken) > 10 else "")
        print(f"{len(broken)} clips of {split} cannot be used: {names}; {reasons} says why")
    return clips, subset.truth_of(clips.fnames)


def _noisy_clips(
    dataset: str,
    corpus: Corpus,
    settings: AudioSettings,
    groups: np.ndarray | None,
    held_out: np.ndarray,
    keep_noisy: Collection[str] | None,
) -> tuple[Clips, np.ndarray]:
    """The noisy clips to train on, and their labels (N, C) bool.  groups: of the curated clips."""
    noisy, truth = labelled_clips(dataset, corpus, "train_noisy", settings)
    rows = _apart(corpus.subset("train_noisy"), noisy.fnames, groups, held_out)
    if keep_noisy is not None:
        rows = rows[[noisy.fnames[row] in keep_noisy for row in rows]]
        print(f"{len(rows)} of {len(noisy)} noisy clips have believable labels")
    return noisy.select(rows), truth[rows]


def _name_mislabelled(curated: list[str], used: list[str]) -> None:
    """Name the curated clips that are known to be mislabelled, unless they are trained on as noisy ones."""
    left_out = sorted(MISLABELLED.intersection(curated).difference(used))
    if left_out:
        print(f"{len(left_out)} curated clips are left out, known to be mislabelled: {', '.join(left_out)}")


def _apart(noisy: Subset, fnames: list[str], groups: np.ndarray | None, held_out: np.ndarray) -> np.ndarray:
    """Indices of the clips that are not cut from a recording of which the fold holds out another clip."""
    if groups is None or noisy.groups is None:
        return np.arange(len(fnames))
    shared = np.isin(noisy.groups[noisy.rows_of(fnames)], sorted(set(groups[held_out]) - {""}))
    if shared.any():
        left_out = ", ".join(fnames[i] for i in np.flatnonzero(shared))
        print(
            f"{shared.sum()} noisy clips are left out, as the fold holds out clips of the same recordings: {left_out}"
        )
    return np.flatnonzero(~shared)
