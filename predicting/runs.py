"""A run on disk: the names of its files, from which nothing reads a setting, and which files make one."""

import re
import sys
from argparse import Namespace  # of a run's arguments
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from utils.errors import MisuseError, UserError

Args = dict[str, Any]  # a run's arguments

FOLD_KEYS = {"arch": str, "sampling_rate": int, "num_folds": int, "fold_num": int}  # which fold of which run it is
PER_FOLD = {"fold_num", "checkpoint_step", "model_path", "made_from", "presence"}  # in which the folds of a run differ
NAMES = re.compile(  # the kind stands right before the size, so that a data set may be called best_of_2024
    "(.+)_(best|last|val|test|train_noisy)_([0-9]+x[0-9]+_[0-9]+_[0-9]+-[0-9]+)(_model[.]pth|[.]npz)"
)


class Name(NamedTuple):
    """What a file's name says."""

    network: str  # ARCH_DATASET
    kind: str  # best or last of a checkpoint, the split of predictions
    fold: str  # ROWSxCOLS_RATE_FOLD-FOLDS
    suffix: str


def parse_name(path: str | Path) -> Name | None:
    """The whole name of a checkpoint or predictions; None of any other file, such as a copy `... (copy).pth`."""
    found = NAMES.fullmatch(Path(path).name)
    return Name(*found.groups()) if found else None


def is_named_after(path: str | Path, args: Args) -> bool:
    """Whether a file has the name that a run with these arguments gave it, and is no copy `old_...` of that one."""
    name, own = parse_name(path), Namespace(**dict.fromkeys(("arch", "dataset", "img_rows", "img_cols")) | args)
    return name is not None and (name.network, name.fold) == (f"{own.arch}_{own.dataset}", _fold(own))


def last_of(best: str | Path) -> Path | None:
    """The `last` checkpoint beside a `best` one, if it is there; None beside any other file."""
    name = parse_name(best)
    if not name or name.kind != "best":
        return None
    last = Path(best).with_name(f"{name.network}_last_{name.fold}{name.suffix}")
    return last if last.exists() else None


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


def run_name(args: Args) -> str:
    """ARCH_RATE_FOLDS, as --run takes it."""
    return "{arch}_{sampling_rate}_{num_folds}".format(**args)


def choose_runs(found: Iterable[str], names: list[str] | None, purpose: str) -> list[str]:
    """The runs to use: those that the user names, else the only one of each folder.  purpose: such as "average".

    Raises MisuseError if a folder (the start of a name) holds several runs, and on an unknown name.
    """
    found = list(found)
    if names is None and len({name.rpartition("/")[0] for name in found}) < len(found):
        raise MisuseError(f"there are {len(found)} runs: say which to {purpose} with --run {' '.join(found)}")
    if unknown := [name for name in names or [] if name not in found]:
        raise MisuseError(f"--run {unknown[0]}: there are only {', '.join(found)}")
    if names and (others := [name for name in found if name not in names]):
        print(f"left out: {', '.join(others)}; --run takes several runs", file=sys.stderr)
    return names or found


def check_alike(args_of: dict[Path, Args], but: set[str] = PER_FOLD) -> None:
    """Raises UserError unless the arguments are the same, `but` for some."""
    (first_path, first), *others = args_of.items()
    for path, args in others:
        differing = [key for key in first | args if key not in but and args.get(key) != first.get(key)]
        if "labels" in differing:
            raise UserError(f"{path} was trained on other labels than {first_path}; train both on the same ones")
        if differing:
            here, there = (f"{differing[0]} {held.get(differing[0])}" for held in (args, first))
            raise UserError(f"{path} was made with {here}, {first_path} with {there}; make them alike")


def check_folds(name: str, args_of: dict[Path, Args], remedy: str, allow_missing: bool = False) -> None:
    """Raises UserError unless folds 0..k-1 are there, and alike but for PER_FOLD.

    remedy: what to do about a missing fold.  allow_missing: a missing fold is only named, on stderr.
    """
    check_alike(args_of)
    numbers = {args["fold_num"] for args in args_of.values()}  # none is there twice, as it is in the file's name
    if missing := sorted(set(range(next(iter(args_of.values()))["num_folds"])) - numbers):
        text = f"{name} lacks fold {', '.join(map(str, missing))}"
        if not allow_missing:
            raise UserError(f"{text}; {remedy}")
        print(f"{text}; continuing without it", file=sys.stderr)
