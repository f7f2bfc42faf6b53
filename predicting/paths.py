"""File names of a run, in one place.  Nothing reads a setting out of them."""

import re
from argparse import Namespace  # of a run's arguments
from pathlib import Path
from typing import Any, NamedTuple

_FOLD = "[0-9]+x[0-9]+_[0-9]+_[0-9]+-[0-9]+"
_NAMES = {  # the kind stands right before the size, so that a data set may be called best_of_2024
    ".pth": re.compile(f"(.+)_(best|last)_({_FOLD})_model[.]pth"),
    ".npz": re.compile(f"(.+)_(val|test|train_noisy)_({_FOLD})[.]npz"),
    ".jsonl": re.compile(f"(.+)()_({_FOLD})_log[.]jsonl"),
}


class Name(NamedTuple):
    """What a file's name says."""

    network: str  # ARCH_DATASET
    kind: str  # best or last of a checkpoint, the split of predictions
    fold: str  # ROWSxCOLS_RATE_FOLD-FOLDS


def parse_name(path: str | Path) -> Name | None:
    """The whole name of a checkpoint, a log or predictions; None of any other file, such as a copy `... (copy).pth`."""
    pattern = _NAMES.get(Path(path).suffix)
    found = pattern.fullmatch(Path(path).name) if pattern else None
    return Name(*found.groups()) if found else None


def is_named_after(path: str | Path, args: dict[str, Any]) -> bool:
    """Whether a file has the name that a run with these arguments gave it, and is no copy `old_...` of that one."""
    name, own = parse_name(path), Namespace(**dict.fromkeys(("arch", "dataset", "img_rows", "img_cols")) | args)
    return name is not None and (name.network, name.fold) == (f"{own.arch}_{own.dataset}", _fold(own))


def last_of(best: str | Path) -> Path | None:
    """The `last` checkpoint beside a `best` one, if it is there; None beside any other file."""
    name = parse_name(best)
    last = Path(best).with_name(f"{name.network}_last_{name.fold}_model.pth") if name and name.kind == "best" else None
    return last if last and last.exists() else None


def checkpoint_path(args: Namespace, kind: str) -> Path:
    """Where a fold's checkpoint lies; kind is "best" or "last"."""
    return Path(args.checkpoint_dir) / f"{args.arch}_{args.dataset}_{kind}_{_fold(args)}_model.pth"


def log_path(args: Namespace) -> Path:
    """A fold's log: one JSON line per validation."""
    return Path(args.checkpoint_dir) / f"{args.arch}_{args.dataset}_{_fold(args)}_log.jsonl"


def lock_path(args: Namespace) -> Path:
    """Beside the log: says which process owns the files of a fold."""
    return log_path(args).with_name(f".{log_path(args).stem}.lock")


def tensorboard_dir(args: Namespace) -> Path:
    """Where a fold's event files go."""
    return Path(args.checkpoint_dir) / "tensorboard" / f"{args.arch}_{args.dataset}_{_fold(args)}"


def prediction_path(args: Namespace, folder: str, split: str) -> Path:
    """A fold's probabilities of a split (.npz; the CSV beside has the same stem)."""
    return Path(folder) / f"{args.arch}_{args.dataset}_{split}_{_fold(args)}.npz"


def _fold(args: Namespace) -> str:
    return f"{args.img_rows}x{args.img_cols}_{args.sampling_rate}_{args.fold_num}-{args.num_folds}"
