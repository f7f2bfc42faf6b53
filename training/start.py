"""From the command line to what a training is set up with; whether it starts, goes on or is refused.

| last or best there is | without --resume | --resume auto | --resume PATH | with --overwrite                |
| --------------------- | ---------------- | ------------- | ------------- | ------------------------------- |
| none                  | starts           | starts        | goes on       | the same                        |
| of this run           | refused          | goes on       | goes on       | replaced without --resume       |
| of another run        | refused          | refused       | refused       | replaced                        |

A run that would go on, but with other data than before, is refused; with --overwrite it starts again from step 0.
"""

import argparse
import os
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loaders import get_data_path
from loaders.folds import settle_folds
from loaders.layouts import Corpus, read_corpus
from loaders.pool import Pool
from predicting.checkpoint import load_checkpoint
from predicting.runs import checkpoint_path, log_path, tensorboard_dir
from training.flags import build_parser, can_be, parse_flags
from training.graphs import pick_compile
from training.processes import join_processes, restarts
from training.setup import Setup
from utils.atomic import try_outputs
from utils.devices import pick_device, pick_precision, set_up_device
from utils.digests import ALL_LABELS, changes
from utils.errors import MisuseError, UserError
from utils.locks import owned

State = dict[str, Any]  # a checkpoint
CALL_FLAGS = (  # they belong to one call and change no result; all others describe the run
    "recipe", "resume", "overwrite", "plan", "device", "checkpoint_dir", "print_train_freq", "save_freq", "tensorboard",
)  # fmt: skip
REMEDY = "replace it with --overwrite, or keep both with another --checkpoint_dir"
MOST = 3  # flags in which another run differs that are listed


def parse_args(held: ExitStack) -> tuple[argparse.Namespace, State | None]:
    """The run's arguments, and the checkpoint that it goes on from, if any.  With --plan it ends here.

    held: owns the run's files from here on, until it is closed.  Raises MisuseError where the flags contradict that
    checkpoint, or would overwrite a run.
    """
    args = parse_flags()
    if args.resume in (None, "auto") or args.plan is not None:
        corpus = read_corpus(get_data_path(args.dataset))
        args.fold_split, args.num_folds = settle_folds(corpus.subset("train_curated"), args.fold_split, args.num_folds)
        check_flags(args)
        if args.plan is not None:
            print_plan(args, corpus)
            sys.exit(0)
    if args.tensorboard and find_spec("tensorboard") is None:
        raise MisuseError("--tensorboard: the package is not installed; run: pip install tensorboard")
    auto, state = args.resume == "auto" or (restarts() and not args.resume), None
    if auto:
        args.resume = None
    if args.resume:
        args, state = _as_trained(args)
    held.enter_context(own_files(args))  # before what is there is looked at, which another run might still change
    for path, (whose, own) in checkpoints_there(args).items():
        if auto and own and not state:  # `last` comes before `best`, which holds as much
            args.resume, state = str(path), own
        if not args.overwrite and not (own and state):
            raise MisuseError(f"{path} is there already, {whose}; {REMEDY}")
    return args, state


def own_files(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Own all files that the run writes; of several processes the first one does, and the others end with it.

    Raises UserError where another run owns them, and where they cannot be written.
    """
    log = log_path(args)
    outputs = [checkpoint_path(args, "last"), checkpoint_path(args, "best"), log]
    try_outputs("--checkpoint_dir", *outputs, *([tensorboard_dir(args) / "events"] if args.tensorboard else []))
    if int(os.environ.get("RANK", 0)):
        return nullcontext()
    remedy = "wait until it has ended, or give another --checkpoint_dir"
    return owned(log.with_name(f".{log.stem}.lock"), f"{log} and its checkpoints", remedy)


def print_plan(args: argparse.Namespace, corpus: Corpus) -> None:
    """For a loop over folds: the splits to predict, then where the best checkpoint of each fold will be, a line each.

    args.plan: the splits, or none for val and, where the data set has them, the test clips.  Raises UserError on a
    split that the data set lacks.
    """
    for split in set(args.plan) - {"val"}:
        corpus.subset(split)
    print(*(args.plan or ["val", *(["test"] if "test" in corpus.subsets else [])]))
    for fold in range(args.num_folds):
        print(checkpoint_path(argparse.Namespace(**vars(args) | {"fold_num": fold}), "best"))


def _as_trained(args: argparse.Namespace) -> tuple[argparse.Namespace, State]:
    """The arguments of the checkpoint args.resume, and its content.

    The run goes on in the folder of the checkpoint, unless --checkpoint_dir names another.
    """
    parser, state = build_parser(), load_checkpoint(args.resume)
    trained = described(state["args"])
    for action in (action for action in parser._actions if action.dest in trained):
        if not can_be(action, value := trained[action.dest]):
            raise UserError(f"{args.resume} was trained with {action.dest} {value!r}, which no run can have")
    parser.set_defaults(**trained | {"checkpoint_dir": str(Path(args.resume).parent)})
    args = parser.parse_args()
    if odd := changes(trained, vars(args)):
        raise MisuseError(f"--{odd[0]} {getattr(args, odd[0])}: {args.resume} was trained with {trained[odd[0]]}")
    return args, state


def described(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments that describe a run, and that its checkpoint holds."""
    return {name: value for name, value in args.items() if name not in CALL_FLAGS}


def checkpoints_there(args: argparse.Namespace) -> dict[Path, tuple[str, State | None]]:
    """The checkpoints that lie where the run would write: whose each is, in words, and the run's own ones' content."""
    there: dict[Path, tuple[str, State | None]] = {}
    here = described(vars(args))
    for path in filter(Path.exists, (checkpoint_path(args, kind) for kind in ("last", "best"))):
        try:
            state = load_checkpoint(path)
        except UserError as error:
            there[path] = f"but {error}", None
            continue
        other = [f"--{name} {state['args'][name]} (here {here[name]})" for name in changes(state["args"], here)]
        same = f"step {state['step']} of {len(state['losses'])} of the same run; go on with --resume auto"
        there[path] = (f"of another run, with {', '.join(other[:MOST])}", None) if other else (same, state)
    return there


def check_data(args: argparse.Namespace, state: State | None, pool: Pool) -> State | None:
    """The checkpoint, if the data are still those that it was trained on; None if they are not, with --overwrite.

    Raises UserError if they are not, without --overwrite.
    """
    if state is None:
        return None
    changed = ["the classes"] if state["class_names"] != pool.corpus.class_names else []
    changed += ["the held-out clips"] if state["held_out"] != pool.held_out.fnames else []
    changed += [what for what in changes(state["made_from"], pool.made_from) if what not in (ALL_LABELS, *changed)]
    if changed and not args.overwrite:
        again = "to start again replace it with --overwrite, or leave --resume out and give another --checkpoint_dir"
        raise UserError(f"{args.resume}: since it was trained, {' and '.join(changed)} changed; {again}")
    return None if changed else state


def clear(args: argparse.Namespace, going_on: bool) -> None:
    """Delete what --overwrite replaces: other runs' checkpoints; if this one starts again, its own and its logs too."""
    paths = [path for path, (_, own) in checkpoints_there(args).items() if not (own and going_on)]
    for path in [*paths, *([] if going_on else [log_path(args), *tensorboard_dir(args).glob("events*")])]:
        path.unlink(missing_ok=True)


def set_up(args: argparse.Namespace, resumed: State | None = None) -> Setup:
    """Where and how exactly this process computes."""
    device = pick_device(args.device)
    precision = pick_precision(args.precision, device, args.arch, resumed=resumed)
    compiled = pick_compile(args.compile, device, args.n_iter, args.deterministic)
    set_up_device(device, args.deterministic)
    processes = join_processes(args.batch_size, device)
    return Setup(args, device, precision, processes, compiled)


def check_flags(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together.  A resumed run's have been checked when it began."""
    if args.fold_num >= args.num_folds:
        raise MisuseError(
            f"--fold_num {args.fold_num}: folds of --num_folds {args.num_folds} are 0 to {args.num_folds - 1}"
        )
    if args.noisy_scores and args.split == "train_curated":
        raise MisuseError("--noisy_scores: --split train_curated has no noisy clips to choose from")
    if args.gamma_fl and "bce" not in args.loss.split("+"):
        raise MisuseError(f"--gamma_fl {args.gamma_fl}: it modulates BCE, which --loss {args.loss} does without")
