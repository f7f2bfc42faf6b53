"""File names of a run, in one place.  Nothing reads a setting out of them."""

from argparse import Namespace  # of a run's arguments
from pathlib import Path


def checkpoint_path(args: Namespace, kind: str) -> Path:
    """Where a fold's checkpoint lies; kind is "best" or "last"."""
    return Path(args.checkpoint_dir) / f"{args.arch}_{args.dataset}_{kind}_{_fold(args)}_model.pth"


def log_path(args: Namespace) -> Path:
    """A fold's log: one JSON line per validation."""
    return Path(args.checkpoint_dir) / f"{args.arch}_{args.dataset}_{_fold(args)}_log.jsonl"


def tensorboard_dir(args: Namespace) -> Path:
    """Where a fold's event files go."""
    return Path(args.checkpoint_dir) / "tensorboard" / f"{args.arch}_{args.dataset}_{_fold(args)}"


def prediction_path(args: Namespace, folder: str, split: str) -> Path:
    """A fold's probabilities of a split (.npz; the CSV beside has the same stem)."""
    return Path(folder) / f"{args.arch}_{args.dataset}_{split}_{_fold(args)}.npz"


def _fold(args: Namespace) -> str:
    return f"{args.img_rows}x{args.img_cols}_{args.sampling_rate}_{args.fold_num}-{args.num_folds}"
