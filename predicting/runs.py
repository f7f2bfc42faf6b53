"""Which files make a run: the folds of one training, told apart by what is inside the files."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.errors import MisuseError, UserError

Args = dict[str, Any]  # a run's arguments

FOLD_KEYS = {"arch": str, "sampling_rate": int, "num_folds": int, "fold_num": int}  # which fold of which run it is
PER_FOLD = {"fold_num", "checkpoint_step", "model_path", "made_from", "presence"}  # in which the folds of a run differ


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


def check_alike(args_of: dict[Path, Args]) -> None:
    """Raises UserError unless the arguments are the same but for PER_FOLD."""
    (first_path, first), *others = args_of.items()
    for path, args in others:
        differing = [key for key in first | args if key not in PER_FOLD and args.get(key) != first.get(key)]
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
