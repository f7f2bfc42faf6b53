"""Whether a training starts, continues or is refused, by the files that are already where it would write."""

import argparse
from pathlib import Path
from typing import Any

from loaders.pool import Pool
from predicting.checkpoint import load_checkpoint
from predicting.paths import checkpoint_path, log_path, tensorboard_dir
from training.processes import restarted
from utils.cli import can_be, given_flags
from utils.digests import ALL_LABELS, changes
from utils.errors import MisuseError, UserError

State = dict[str, Any]  # a checkpoint
HERE_ONLY = (  # flags that change no result
    "recipe", "resume", "overwrite", "plan", "device", "checkpoint_dir", "print_train_freq", "save_freq", "tensorboard",
)  # fmt: skip


def read_resumed(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[argparse.Namespace, State | None]:
    """The run's arguments, those of a resumed run included, and the checkpoint to go on from, if any.

    A run goes on in the folder of the checkpoint, unless --checkpoint_dir names another.
    Raises MisuseError where the flags contradict the checkpoint, or would overwrite another run.
    """
    last = checkpoint_path(args, "last")
    if args.resume == "auto" or (restarted() and not args.resume):
        anew = argparse.Namespace(**vars(args) | {"resume": None})
        if not last.exists():
            refuse_to_overwrite(args)
            return anew, None
        state = load_checkpoint(last)
        if differing := differences(args, state):
            if not args.overwrite:
                raise MisuseError(f"--resume auto: {last} is of another run, with {differing}; {_remedy()}")
            return anew, None
        return argparse.Namespace(**vars(args) | {"resume": str(last)}), state
    if not args.resume:
        refuse_to_overwrite(args)
        return args, None
    state, given = load_checkpoint(args.resume), given_flags(parser)
    for name, value in given.items():
        if name not in HERE_ONLY and value != state["args"].get(name, value):
            raise MisuseError(f"--{name} {value}: {args.resume} was trained with {state['args'][name]}")
    trained = {name: value for name, value in state["args"].items() if name not in HERE_ONLY}
    for action in parser._actions:
        if action.dest in trained and not can_be(action, trained[action.dest]):
            raise UserError(
                f"{args.resume} was trained with {action.dest} {trained[action.dest]!r}, which no run can have"
            )
    folder = args.checkpoint_dir if "checkpoint_dir" in given else str(Path(args.resume).parent)
    args = argparse.Namespace(**{**vars(args), **trained, "checkpoint_dir": folder})
    refuse_to_overwrite(args, going_on=True)
    return args, state


def refuse_to_overwrite(args: argparse.Namespace, going_on: bool = False) -> None:
    """Raises MisuseError if a run's checkpoint lies where this run would write, unless --overwrite is given.

    going_on: whether this run goes on from a checkpoint, so that its own ones may lie there.
    """
    for path in (checkpoint_path(args, kind) for kind in ("last", "best")):
        if args.overwrite or not path.exists():
            continue
        try:
            state = load_checkpoint(path)
        except UserError as error:
            raise MisuseError(f"{error}; a new run would overwrite it: {_remedy()}") from None
        if going_on and not differences(args, state):
            continue
        differing = differences(args, state)
        whose = f"another run, with {differing}" if differing else "the same run"
        there = f"step {state['step']} of {state['losses'].numel()} of {whose}"
        go_on = "" if differing else "go on with --resume auto, "
        raise MisuseError(f"{path} is there already, {there}; {go_on}{_remedy()}")


def fitting(args: argparse.Namespace, state: State | None, pool: Pool) -> State | None:
    """The checkpoint to go on from, if the clips are still those that it was trained on.

    Raises UserError if they are not, unless --overwrite allows to start anew.
    """
    if state is None:
        return None
    changed = [what for what in changes(state["made_from"], pool.made_from) if what != ALL_LABELS]
    if state["held_out"] != pool.held_out.fnames and "the held-out clips" not in changed:
        changed.append("the held-out clips")
    if state["class_names"] != pool.corpus.class_names:
        changed.insert(0, "the classes")
    if not changed:
        return state
    if not args.overwrite:
        anew = "to start anew replace it with --overwrite, or leave --resume out and give another --checkpoint_dir"
        raise UserError(f"{args.resume}: since it was trained, {' and '.join(changed)} changed; {anew}")
    return None


def clear(args: argparse.Namespace, going_on: bool) -> None:
    """Delete what --overwrite replaces: checkpoints and log of a run; if this run goes on, another run's best one."""
    best = checkpoint_path(args, "best")
    if going_on:
        paths = [best] if best.exists() and _is_of_another_run(args, best) else []
    else:
        paths = [checkpoint_path(args, "last"), best, log_path(args), *tensorboard_dir(args).glob("events*")]
    for path in paths:
        path.unlink(missing_ok=True)


def _is_of_another_run(args: argparse.Namespace, path: Path) -> bool:
    try:
        return bool(differences(args, load_checkpoint(path)))
    except UserError:
        return True


def differences(args: argparse.Namespace, state: State, most: int = 3) -> str:
    """The arguments in which a checkpoint's run differs from this one, for a message; empty if there are none."""
    there, here = state["args"], vars(args)
    names = [name for name in here if name not in HERE_ONLY and name in there and there[name] != here[name]]
    told = [f"--{name} {there[name]} (here {here[name]})" for name in names[:most]]
    return ", ".join(told) + (f" and {len(names) - most} more" if len(names) > most else "")


def _remedy() -> str:
    return "replace it with --overwrite, or keep both with another --checkpoint_dir"
