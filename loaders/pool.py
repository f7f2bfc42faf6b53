"""Which clips a fold trains on and which it holds out, with their labels, and the targets made of these."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from loaders import get_data_path, get_features_path
from loaders.clips import Clips, usable_clips
from loaders.folds import deal_folds, join_copies, settle_folds
from loaders.index import features_dir
from loaders.layouts import SUBSETS, Corpus, Subset, read_corpus
from loaders.pcen import AudioSettings
from utils.digests import ALL_LABELS, MadeFrom, digest, table_digest
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
    noisy_weight: float  # of the listed labels of a noisy clip

    @cached_property
    def clips(self) -> Clips:
        """The training clips, curated ones first."""
        return self.curated + self.noisy if len(self.noisy) else self.curated

    @cached_property
    def targets(self) -> np.ndarray:
        """(N, C) float32 in [0, 1] of the training clips; those of noisy ones are softened."""
        return np.concatenate([self.curated_truth, soften(self.noisy_truth, self.noisy_weight)]).astype(np.float32)

    @cached_property
    def made_from(self) -> MadeFrom:
        """Digests of all that a training depends on, by what it is, in words for the message of what changed."""
        names, held_out = self.corpus.class_names, self.held_out
        known = [self.corpus.subsets[name] for name in SUBSETS["train"] if name in self.corpus.subsets]
        return {
            "the training clips": digest(sorted(self.clips.fnames)),
            "the features of the training clips": table_digest(self.clips.fnames, [""], self.clips.digests[:, None]),
            "the labels or weights of the training clips": table_digest(self.clips.fnames, names, self.targets),
            "the held-out clips": digest(sorted(self.held_out.fnames)),
            "the features of the held-out clips": table_digest(held_out.fnames, [""], held_out.digests[:, None]),
            "the labels of the held-out clips": table_digest(held_out.fnames, names, self.held_out_truth),
            ALL_LABELS: digest([table_digest(subset.fnames, names, subset.truth) for subset in known]),
        }

    @property
    def lacking(self) -> str:
        """The classes of which the fold trains on no clip or holds out none, with their counts; "" without any."""
        tables, said = (self.curated_truth, self.held_out_truth, self.noisy_truth), []
        counts = np.stack([truth.sum(axis=0) for truth in tables], axis=1)  # (C, 3)
        for what, none in (("trains on", counts[:, [0, 2]].sum(axis=1) == 0), ("holds out", counts[:, 1] == 0)):
            texts = ["{} ({} training, {} held out, {} noisy)".format(self.corpus.class_names[i], *counts[i])
                     for i in np.flatnonzero(none)]  # fmt: skip
            more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
            said += [f"{what} no clip of {', '.join(texts[:5])}{more}"] if texts else []
        return f"this fold {' and '.join(said)}" if said else ""


def read_pool(
    dataset: str,
    split: str,
    settings: AudioSettings,
    seed: int,
    noisy_weight: float,
    fold_num: int = 0,
    num_folds: int | None = None,
    fold_split: str | None = None,
    keep_noisy: Collection[str] | None = None,
    order: tuple[list[str], dict[str, list[str]]] = ([], {}),
) -> Pool:
    """The clips of a fold.  Raises UserError on data that cannot be used.

    split: a key of SUBSETS but "test".  seed: of the folds.  num_folds, fold_split: None for those of `settle_folds`.
    keep_noisy: file names of the noisy clips to train on; None: all.  order: as Corpus.ordered_as takes it.
    """
    corpus = read_corpus(get_data_path(dataset)).ordered_as(*order)
    fold_split, num_folds = settle_folds(corpus.subset("train_curated"), fold_split, num_folds)
    clips, known = labelled_clips(dataset, corpus, "train_curated", settings)
    trusted = np.array([fname not in MISLABELLED for fname in clips.fnames])
    together = replace(known, groups=join_copies(known.groups, clips.fnames, clips.digests))
    folds = deal_folds(together, trusted, num_folds, seed, fold_split)
    held_out, doubtful = np.flatnonzero(folds == fold_num), np.flatnonzero(~trusted)
    if not len(held_out):
        raise UserError(f"fold {fold_num} of {num_folds} holds out no usable clip, so nothing could be scored")

    curated = np.flatnonzero(trusted & (folds != fold_num) & ("train_curated" in SUBSETS[split]))
    noisy, noisy_truth = clips.select(curated[:0]), known.truth[:0]
    if split == "train_noisy" or (split == "train" and "train_noisy" in corpus.subsets):
        recordings = {*clips.digests[held_out], *([] if known.groups is None else known.groups[held_out])} - {""}
        noisy, noisy_truth = _noisy_clips(dataset, corpus, settings, recordings, keep_noisy)
        if len(doubtful) and keep_noisy is None:
            noisy, noisy_truth = noisy + clips.select(doubtful), np.concatenate([noisy_truth, known.truth[doubtful]])
    if left_out := sorted({clips.fnames[i] for i in doubtful}.difference(noisy.fnames)):
        print(f"{len(left_out)} curated clips are left out, known to be mislabelled: {', '.join(left_out)}")
    if not len(curated) + len(noisy):
        raise UserError(f"no clip is left to train on: none of --split {split} is usable and believable")
    own, scored = ((clips.select(rows), known.truth[rows]) for rows in (curated, held_out))
    return Pool(corpus, *own, noisy, noisy_truth, *scored, noisy_weight)


def soften(truth: np.ndarray, weight: float) -> np.ndarray:
    """Targets (N, C) of doubtful labels: `weight` on each listed label, the rest spread over the others."""
    others = (~truth).sum(axis=1, keepdims=True)
    return np.where(truth, weight, (1 - weight) / np.maximum(others, 1)).astype(np.float32)


def labelled_clips(dataset: str, corpus: Corpus, split: str, settings: AudioSettings) -> tuple[Clips, Subset]:
    """The usable clips of a training subset in the order of its CSV, and what is known about them."""
    subset = corpus.subset(split)
    clips = usable_clips(dataset, split, subset.fnames, settings)
    usable = np.isin(np.array(subset.fnames, object), clips.fnames)
    if not usable.all():
        broken = [one_line(subset.fnames[i], 100) for i in np.flatnonzero(~usable)]
        reasons = features_dir(get_features_path(dataset), settings) / f"{split}_unusable.csv"
        names = ", ".join(broken[:10]) + (", ..." if len(broken) > 10 else "")
        print(f"{len(broken)} clips of {split} cannot be used: {names}; {reasons} says why")
    return clips, subset.select(usable)


def _noisy_clips(
    dataset: str, corpus: Corpus, settings: AudioSettings, recordings: set[str], keep_noisy: Collection[str] | None
) -> tuple[Clips, np.ndarray]:
    """The noisy clips to train on, and their labels (N, C) bool.  recordings: groups and digests of held-out clips."""
    noisy, known = labelled_clips(dataset, corpus, "train_noisy", settings)
    groups = noisy.digests if known.groups is None else known.groups
    torn = np.isin(noisy.digests, sorted(recordings)) | np.isin(groups, sorted(recordings))
    rows = np.flatnonzero(~torn)
    if torn.any():
        names = ", ".join(noisy.fnames[i] for i in np.flatnonzero(torn))
        why = "as the fold holds out clips of the same recordings"
        print(f"{torn.sum()} noisy clips are left out, {why}: {names}")
    if keep_noisy is not None:
        rows = rows[[noisy.fnames[row] in keep_noisy for row in rows]]
        print(f"{len(rows)} of {len(noisy)} noisy clips have believable labels")
    return noisy.select(rows), known.truth[rows]
