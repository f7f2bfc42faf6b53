"""A fold's batches and held-out clips, of Freesound Audio Tagging 2019 and any data set in a known layout.

Run as a script it turns the sound files of train and test into PCEN mel features:

    PYTHONPATH=. python loaders/freesound_loader.py
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # a script's folder comes first on sys.path, where loaders/ would hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from loaders import get_data_path, get_features_path
from loaders.audio import DENIED
from loaders.clips import Clips, OneAhead, PinnedCopies, as_inputs, open_clips
from loaders.features import core_count, make_features
from loaders.folds import deal_folds, settle_folds
from loaders.index import features_dir
from loaders.layouts import Corpus, Subset, read_corpus
from loaders.pcen import AudioSettings
from loaders.sampling import Sampler
from utils.cli import hertz, make_parser, positive_int
from utils.devices import send
from utils.digests import ALL_LABELS, MadeFrom, digest
from utils.errors import MisuseError, UserError, one_line, run

SUBSETS = {
    "train": ["train_curated", "train_noisy"],
    "train_curated": ["train_curated"],
    "train_noisy": ["train_noisy"],
    "test": ["test"],
}
# Curated clips of FSDKaggle2019 with wrong or broken content.  As in the original solution they count as noisy ones:
# no fold holds them out, and they are trained on where noisy clips are, with softened labels.
MISLABELLED = {f"{name}.wav" for name in ("f76181c4", "77b925c2", "6a1f682a", "c7db12aa", "7752cc8a", "1d44b0bd")}


class FreesoundLoader:
    """One fold: training batches on the device, and the curated clips that the fold holds out."""

    def __init__(
        self,
        *,
        dataset: str,
        split: str,
        settings: AudioSettings,
        width: int,
        batch_size: int,
        seed: int,
        batch_seed: int | None = None,
        device: torch.device,
        fold_num: int = 0,
        num_folds: int | None = None,
        fold_split: str | None = None,
        noisy_weight: float = 0.8,
        curated_share: float = 0.0,
        later_share: float = 1.0,
        later_from: float = np.inf,
        keep_noisy: Collection[str] | None = None,
    ) -> None:
        """split: a key of SUBSETS but "test".  width: frames of a crop.  Raises UserError on unusable data.

        seed: of the folds; batch_seed: of the batches, None: the same.
        num_folds, fold_split: None takes what the data set gives (see `settle_folds`).
        curated_share: of every batch, in [0, 1], if that is more than their share of the clips.  later_share: the
        same from batch number later_from on.  keep_noisy: file names of the noisy clips to train on; None: all.
        """
        corpus = read_corpus(get_data_path(dataset))
        fold_split, num_folds = settle_folds(corpus.subset("train_curated"), fold_split, num_folds)
        curated, truth = labelled_clips(dataset, corpus, "train_curated", settings)
        known = corpus.subset("train_curated").select(corpus.subset("train_curated").rows_of(curated.fnames))
        trusted = np.array([fname not in MISLABELLED for fname in curated.fnames])
        folds = deal_folds(known, trusted, corpus.class_names, num_folds, seed, fold_split)
        held_out = np.flatnonzero(folds == fold_num)
        if not len(held_out):
            raise UserError(f"fold {fold_num} of {num_folds} holds out no usable clip, so nothing could be scored")
        parts = []
        if "train_curated" in SUBSETS[split]:
            keep = np.flatnonzero(trusted & (folds != fold_num))
            parts.append((curated.select(keep), truth[keep]))
        if "train_noisy" in SUBSETS[split] and ("train_noisy" in corpus.subsets or split == "train_noisy"):
            noisy, noisy_truth = _noisy_clips(dataset, corpus, settings, known.groups, held_out, keep_noisy)
            if not trusted.all() and keep_noisy is None:
                noisy, noisy_truth = noisy + curated.select(np.flatnonzero(~trusted)), [*noisy_truth, *truth[~trusted]]
            parts.append((noisy, soften(np.array(noisy_truth), noisy_weight)))
        clips = parts[0][0] if len(parts) == 1 else parts[0][0] + parts[1][0]
        targets = np.concatenate([targets for _, targets in parts]).astype(np.float32)
        _name_mislabelled(curated.fnames, clips.fnames)
        if not len(clips):
            raise UserError(f"no clip is left to train on: none of --split {split} is usable and believable")
        self.seed = seed if batch_seed is None else batch_seed
        shares = {"first_share": curated_share, "later_share": later_share, "later_from": later_from}
        self.sampler = Sampler(len(parts[0][0]), len(clips), batch_size, self.seed, **shares)
        self.class_names, self.metrics = corpus.class_names, corpus.metrics
        self.held_out, self.held_out_truth = curated.select(held_out), truth[held_out]
        self.prior = (targets.sum(axis=0) / targets.sum()).astype(np.float32)  # (C,), sums to 1
        self.made_from = made_from(clips, targets, self.held_out, self.held_out_truth) | all_labels(corpus)
        self.targets = torch.from_numpy(targets).to(device)
        self.settings, self.width, self.device = settings, width, device
        self._place(clips, (batch_size, width, settings.n_mels))

    def _place(self, clips: Clips, shape: tuple[int, int, int]) -> None:
        """Keep the clips on the device, each array once, for validation too; or send batches of that shape there."""
        together = (clips + self.held_out).to(self.device)
        self.clips = together.select(np.arange(len(clips)))
        self.held_out = together.select(np.arange(len(clips), len(together)))
        self.copies = self.ahead = None
        if self.clips.packs[0].device.type != self.device.type:  # too large for the GPU
            self.copies = PinnedCopies(shape, self.device)
            self.ahead = OneAhead(self._send)

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch of that number: inputs (B, 1, n_mels, width) and targets (B, C) in [0, 1].

        Which clips are in it and where their crops start depends on the seed and the number alone.
        """
        if self.ahead:
            chosen, *sent = self.ahead(number)
            gathered = self.copies.finish(*sent)
        else:
            chosen, first = self._draw(number)
            gathered = self.clips.gather(chosen, first, self.width)
        return as_inputs(gathered, self.device), self.targets[send(torch.from_numpy(chosen), self.device)]

    def _draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Clips (B,), and the frame that each one's crop starts at (B,)."""
        chosen = self.sampler.batch(number)
        slack = np.maximum(self.clips.lengths[chosen] - self.width, 0)
        return chosen, np.random.default_rng([self.seed, 1, number]).integers(0, slack + 1)

    def _send(self, number: int) -> tuple[np.ndarray, Tensor, torch.cuda.Event]:
        chosen, first = self._draw(number)
        return chosen, *self.copies.start(lambda buffer: self.clips.gather(chosen, first, self.width, buffer))


def made_from(clips: Clips, targets: np.ndarray, held_out: Clips, held_out_truth: np.ndarray) -> MadeFrom:
    """Digests of all that a training depends on, in words for the message that tells what has changed."""
    return {
        "the training clips": digest(clips.fnames),
        "the features of the training clips": digest(clips.digests),
        "the labels or weights of the training clips": digest(targets),
        "the held-out clips": digest(held_out.fnames),
        "the features of the held-out clips": digest(held_out.digests),
        "the labels of the held-out clips": digest(held_out_truth),
    }


def all_labels(corpus: Corpus) -> MadeFrom:
    """A digest of every label that any fold trains on, by which predictions of folds tell whether they go together."""
    subsets = [corpus.subsets[name] for name in SUBSETS["train"] if name in corpus.subsets]
    return {ALL_LABELS: digest([part for subset in subsets for part in (digest(subset.fnames), digest(subset.truth))])}


def soften(truth: np.ndarray, weight: float) -> np.ndarray:
    """Targets (N, C) of doubtful labels: `weight` on each listed label, the rest spread over the others."""
    listed = truth.sum(axis=1, keepdims=True)
    others = truth.shape[1] - listed
    return np.where(truth, weight, (1 - weight) / np.maximum(others, 1)).astype(np.float32)


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


def usable_clips(dataset: str, split: str, fnames: list[str], settings: AudioSettings) -> Clips:
    """Those of the named clips that have features, in this order.

    Raises UserError where the features are missing, of other settings, or know nothing of a clip.
    """
    clips, unusable = open_clips(get_features_path(dataset), split, settings, remedy(dataset, settings))
    row = {fname: i for i, fname in enumerate(clips.fnames)}
    stale = [fname for fname in fnames if fname not in row and fname not in unusable]
    if stale:
        raise UserError(f"the features of {split} do not hold {stale[0]}; {remedy(dataset, settings)}")
    return clips.select(np.array([row[fname] for fname in fnames if fname in row], int))


def remedy(dataset: str, settings: AudioSettings) -> str:
    """The command that makes the features."""
    command = f"python loaders/freesound_loader.py --dataset {dataset}"
    return f"run: {command} --sampling_rate {settings.sampling_rate} --img_rows {settings.n_mels}"


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


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Turn the sound files of a data set into PCEN mel features (.npy), on all cores.",
        "PYTHONPATH=. python loaders/freesound_loader.py --dataset freesound",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="freesound", help="a name in config.json")
    data.add_argument("--split", default="all", choices=["all", *SUBSETS], help="which clips")
    signal = parser.add_argument_group("signal")
    signal.add_argument("--sampling_rate", type=hertz, default=44100, help="Hz")
    signal.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    work = parser.add_argument_group("work")
    work.add_argument(
        "--jobs", type=positive_int, default=core_count(), help="processes; by default one for each usable core"
    )
    work.add_argument("--backend", default="loky", choices=["loky", "dask"], help="processes here, or a Dask cluster")
    work.add_argument("--scheduler", metavar="ADDRESS", help="address of the Dask cluster, such as tcp://HOST:8786")
    work.add_argument("--strict", action="store_true", help="fail if a clip cannot be used")
    args = parser.parse_args()
    if (args.backend == "dask") != bool(args.scheduler):
        raise MisuseError("--backend dask and --scheduler ADDRESS go together; give both or neither")
    return args


def main() -> int:
    args = parse_args()
    corpus = read_corpus(get_data_path(args.dataset))
    settings = AudioSettings(args.sampling_rate, args.img_rows)
    folder = features_dir(get_features_path(args.dataset), settings)
    unusable, denied = 0, False
    wanted = [name for name in corpus.subsets if args.split == "all" or name in SUBSETS[args.split]]
    for split in wanted or [args.split]:
        report = make_features(corpus.subset(split), split, folder, settings, args.jobs, args.scheduler)
        print(f"{split}: {report.computed} clips computed, {report.up_to_date} up to date, ", end="")
        print(f"{len(report.unusable)} cannot be used", flush=True)
        for fname, reason in report.unusable.items():
            print(f"  {one_line(fname, 100)}: {one_line(reason)}")
        if report.remarks:
            print(f"{split}: {len(report.remarks)} clips are used, but there is something odd about them")
        for fname, remark in report.remarks.items():
            print(f"  {one_line(fname, 100)}: {one_line(remark)}")
        unusable += len(report.unusable)
        denied |= DENIED in report.unusable.values()
    print(f"features are in {folder}")
    return int((args.strict and unusable > 0) or denied)


if __name__ == "__main__":
    run(main)
