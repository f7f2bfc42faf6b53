"""From the command line to what a training is set up with."""

import argparse
import sys
from typing import Any

import torch

from loaders import get_data_path
from loaders.folds import settle_folds
from loaders.layouts import Corpus, read_corpus
from losses import get_loss
from predicting.paths import checkpoint_path, log_path, tensorboard_dir
from training.flags import build_parser, parse_flags
from training.graphs import pick_compile
from training.processes import join_processes
from training.resume import read_resumed
from training.setup import Setup, build_model
from training.tensorboard import import_writer
from utils.atomic import try_outputs
from utils.devices import pick_device, pick_precision, set_up_device
from utils.errors import MisuseError, UserError


def parse_args() -> tuple[argparse.Namespace, dict[str, Any] | None]:
    """The run's arguments, those of a resumed run included, and its checkpoint.  With --plan it ends here."""
    args = parse_flags()
    check_flags(args)
    if args.plan is not None and args.resume not in (None, "auto"):
        raise MisuseError("--plan describes a run by its flags; leave --resume out")
    if args.resume in (None, "auto"):
        corpus = read_corpus(get_data_path(args.dataset))
        args.fold_split, args.num_folds = settle_folds(corpus.subset("train_curated"), args.fold_split, args.num_folds)
        if args.plan is not None:
            print_plan(args, corpus)
            sys.exit(0)
    args, resumed = read_resumed(build_parser(), args)
    check_flags(args)
    if args.tensorboard:
        import_writer()
    outputs = [checkpoint_path(args, "last"), checkpoint_path(args, "best"), log_path(args)]
    try_outputs("--checkpoint_dir", *outputs, *([tensorboard_dir(args) / "events"] if args.tensorboard else []))
    return args, resumed


def set_up(args: argparse.Namespace, resumed: dict[str, Any] | None = None) -> tuple[Setup, str]:
    """Where and how exactly this process computes, and a line that says why."""
    device = pick_device(args.device)
    precision, why_precision = pick_precision(args.precision, device, args.arch, resumed=resumed)
    compiled, why_not_compiled = pick_compile(args.compile, device, args.n_iter, args.deterministic)
    set_up_device(device, args.deterministic)
    processes = join_processes(args.batch_size, device)
    if processes.size == 1 or device.type == "cpu":  # on GPUs the norms of several processes see the whole batch
        refuse_lone_values(args, args.batch_size // processes.size)
    return Setup(args, device, precision, processes, compiled), f"{why_precision}{why_not_compiled}"


def check_flags(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together; none of it needs the data."""
    if args.num_folds is not None and args.fold_num >= args.num_folds:
        raise MisuseError(
            f"--fold_num {args.fold_num}: folds of --num_folds {args.num_folds} are 0 to {args.num_folds - 1}"
        )
    if args.noisy_scores and args.split == "train_curated":
        raise MisuseError("--noisy_scores: --split train_curated has no noisy clips to choose from")
    if args.gamma_fl and "bce" not in args.loss.split("+"):
        raise MisuseError(f"--gamma_fl {args.gamma_fl}: it modulates BCE, which --loss {args.loss} does without")
    try:
        get_loss(args.loss)
    except ValueError as error:
        raise (UserError(f"{args.resume}: {error}") if args.resume else MisuseError(f"--loss: {error}")) from None


def refuse_lone_values(args: argparse.Namespace, n: int) -> None:
    """Raise MisuseError where n crops shrink to a single value of a channel, which no batch norm can train on."""
    if n > 1:
        return
    try:
        with torch.device("meta"):  # without memory and without a random number
            build_model(args, 2)(torch.empty(1, 1, args.img_rows, args.img_cols))
    except ValueError:
        raise MisuseError(
            f"--batch_size {args.batch_size}: one crop of {args.img_rows} x {args.img_cols} leaves batch norm a single "
            "value; give each process 2 clips or more, or make the crop larger with --img_cols"
        ) from None


def print_plan(args: argparse.Namespace, corpus: Corpus) -> None:
    """For a loop over folds: the splits to predict, then where the best checkpoint of each fold will be, a line each.

    args.plan: the splits, or none for val and, where the data set has them, the test clips.
    """
    there = ["val", *(name for name in ("test", "train_noisy") if name in corpus.subsets)]
    for split in args.plan:
        if split not in there:
            raise MisuseError(f"--plan {split}: the data set has {', '.join(there)}")
    print(*(args.plan or [split for split in there if split != "train_noisy"]))
    for fold in range(args.num_folds):
        print(checkpoint_path(argparse.Namespace(**vars(args) | {"fold_num": fold}), "best"))
