"""Train one fold of an audio tagger from scratch.  `python train.py -h` lists all flags."""

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from loaders import get_data_path
from loaders.folds import settle_folds
from loaders.freesound_loader import FreesoundLoader
from loaders.layouts import Corpus, read_corpus
from loaders.pcen import AudioSettings
from losses import Criterion, get_loss
from models import get_model
from predicting.paths import checkpoint_path
from predicting.runs import run_name
from predicting.tta import predict, shift_of
from training.augment import mixup, shift_bands, spec_augment
from training.flags import RECIPES, build_parser, describe_recipe
from training.graphs import quicken
from training.processes import SOLO, Team, join_team
from training.progress import Interrupts, TrainingRun, refuse_lone_values, try_run_outputs
from training.resume import clear, fitting, read_resumed
from training.scaling import LossScaler
from training.schedule import fine_tuning_from, get_optimizer, learning_rate
from training.selection import believable_clips
from training.tensorboard import Tensorboard, import_writer
from utils.devices import pick_compile, pick_device, pick_precision, set_up, told_in_one_line
from utils.errors import MisuseError, UserError, run


@told_in_one_line()
def main() -> int:
    args, resumed = parse_args()
    try_run_outputs(args)
    device = pick_device(args.device)
    precision, why_precision = pick_precision(args.precision, device, args.arch, resumed=resumed)
    compiled, why_not_compiled = pick_compile(args.compile, device, args.n_iter, args.deterministic)
    set_up(device, args.deterministic)
    team = join_team(args.batch_size, device)
    if team.size == 1 or device.type == "cpu":  # on GPUs a team's norms see the whole batch
        refuse_lone_values(build_model, args, args.batch_size // team.size)
    torch.manual_seed(draw_seed(args))

    loader = build_loader(args, device)
    resumed = fitting(args, resumed, loader)
    if args.overwrite and team.rank == 0:
        clear(args, going_on=resumed is not None)
    model = build_model(args, len(loader.class_names)).to(device, memory_format=torch.channels_last)
    optimizer = get_optimizer(args.optimizer, model, args.l_rate, args.momentum, args.weight_decay)
    engine = team.wrap(quicken(model, args, device, precision, compiled, graphs=team.size == 1), device)
    criterion = get_loss(args.loss, args.gamma_fl)
    scaler = LossScaler(precision, device)
    training = TrainingRun(args, loader, model, optimizer, scaler, precision, resumed, team)
    logs = args.tensorboard and team.rank == 0
    tensorboard = Tensorboard(args, engine, training.step, training.log) if logs else None
    team.reseed(draw_seed(args), training.step)

    def predict_held_out(rows: np.ndarray) -> np.ndarray:
        return predict(
            model, loader.held_out.select(rows), args.img_cols, args.batch_size,
            device, precision=precision, label="validation",
            shift=shift_of(vars(args)), loss=args.loss,
        )  # fmt: skip

    def scores() -> np.ndarray:
        team.align(model)
        probabilities = team.rows(len(loader.held_out), len(loader.class_names), predict_held_out)
        model.train()
        return probabilities

    print(describe_recipe(args.recipe, args))
    members = f" x {team.size}" if team.size > 1 else ""
    print(f"{len(loader.clips)} training clips, {len(loader.held_out)} held out, {device}{members}")
    print(f"{why_precision}{why_not_compiled}", flush=True)
    model.train()
    quiet = True if team.rank else None  # None: where the output is no terminal
    with Interrupts() as interrupts, team.watched():
        for step in trange(training.step, args.n_iter, initial=training.step, total=args.n_iter, disable=quiet):
            loss = train_step(args, step, loader, engine, optimizer, criterion, device, precision, scaler, team)
            received = team.any(interrupts.received or 0)  # first: it notices a process that has died
            training.after_step(loss, scores)
            if tensorboard:
                tensorboard.after_step(training.log)
            if received and training.step < args.n_iter:
                path = training.save()
                print(f"stopped after step {training.step}; to go on: python train.py --resume {path}", flush=True)
                return team.leave(128 + received)
    if team.rank == 0:
        report(training)
    return team.leave(0)


def train_step(
    args: argparse.Namespace,
    step: int,
    loader: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: Criterion,
    device: torch.device,
    precision: torch.dtype,
    scaler: LossScaler,
    team: Team = SOLO,
) -> Tensor:
    """One optimizer step; returns its loss, a scalar on the device that nobody has waited for; NaN if the loss or
    a gradient is not finite (in fp16 such a gradient skips the step).

    Whatever is random in it but dropout is a function of the seed, with --fold_seeds the fold, and the step.
    """
    total = torch.zeros((), device=device)
    fine_tuning = step >= fine_tuning_from(args.n_iter, args.fine_tune)
    for number in range(step * args.iter_size, (step + 1) * args.iter_size):
        rng = np.random.default_rng([draw_seed(args), 2, number])
        inputs, targets = loader.batch(number)
        if args.shift_share and not fine_tuning:
            inputs = shift_bands(inputs, rng, args.shift_share)
        if args.use_mix_up and not fine_tuning:
            inputs, targets = mixup(inputs, targets, rng)
        if args.use_spec_aug:
            inputs = spec_augment(inputs, rng, args.mask_share)
        with team.gradients_meet(model, now=number == (step + 1) * args.iter_size - 1):
            with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
                logits = team.whole(model(team.share(inputs)))
            loss = criterion(logits, targets) / args.iter_size
            scaler.scale(loss * team.size).backward()  # since the gradients of several processes are averaged
        total += loss.detach()
    total = torch.where(scaler.unscale(optimizer), total, torch.nan)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, args.n_iter, args.l_rate, args.num_cycles)
    scaler.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return total


def build_loader(args: argparse.Namespace, device: torch.device) -> FreesoundLoader:
    return FreesoundLoader(
        dataset=args.dataset,
        split=args.split,
        settings=AudioSettings(args.sampling_rate, args.img_rows),
        width=args.img_cols,
        batch_size=args.batch_size,
        seed=args.seed,
        batch_seed=draw_seed(args),
        device=device,
        fold_num=args.fold_num,
        num_folds=args.num_folds,
        fold_split=args.fold_split,
        noisy_weight=args.noisy_weight,
        curated_share=args.curated_share,
        later_share=args.fine_tune_share,
        later_from=fine_tuning_from(args.n_iter, args.fine_tune) * args.iter_size,
        keep_noisy=believable_clips(args) if args.noisy_scores else None,
    )


def draw_seed(args: argparse.Namespace) -> int:
    """The seed of all that a training draws; which clips a fold holds out depends on --seed alone."""
    if not args.fold_seeds or not args.fold_num:
        return args.seed
    return int(np.random.SeedSequence([args.seed, args.fold_num]).generate_state(1)[0])


def build_model(args: argparse.Namespace, n_classes: int) -> nn.Module:
    try:
        return get_model(args.arch, n_classes, use_cbam=args.use_cbam, dropout_rate=args.dropout_rate)
    except ValueError as error:
        raise MisuseError(str(error)) from None


def report(training: TrainingRun) -> None:
    record = next(record for record in training.log if record["step"] == training.best_step)
    counts = dict(zip(training.loader.class_names, training.loader.held_out_truth.sum(axis=0), strict=True))
    print(f"\nlwlrap per class at step {training.best_step}, weakest first:")
    for name, value in sorted(record["per_class"].items(), key=lambda item: item[1]):
        print(f"  {value:.3f}  {name} ({counts[name]} clips)")
    print(f"best lwlrap {training.best_score:.4f} at step {training.best_step}: "
          f"{checkpoint_path(training.args, 'best')}")  # fmt: skip


def print_plan(args: argparse.Namespace, corpus: Corpus) -> None:
    """For a loop over folds: how many there are and the splits to predict, the name of each fold's checkpoint, that of
    the run, and all splits that could be predicted, a line each."""
    to_predict = ["val", "test"] if "test" in corpus.subsets else ["val"]
    print(args.num_folds, *to_predict)
    for fold in range(args.num_folds):
        print(checkpoint_path(argparse.Namespace(**vars(args) | {"fold_num": fold}), "best").name)
    print(run_name(vars(args)))
    print(*to_predict, *(["train_noisy"] if "train_noisy" in corpus.subsets else []))


def parse_args() -> tuple[argparse.Namespace, dict[str, Any] | None]:
    """The run's arguments, those of a resumed run included, and its checkpoint."""
    parser = build_parser()
    parser.set_defaults(**RECIPES[parser.parse_args().recipe])
    args = parser.parse_args()
    check_flags(args)
    if args.plan and args.resume not in (None, "auto"):
        raise MisuseError("--plan describes a run by its flags; leave --resume out")
    if args.resume in (None, "auto"):
        corpus = read_corpus(get_data_path(args.dataset))
        args.fold_split, args.num_folds = settle_folds(corpus.subset("train_curated"), args.fold_split, args.num_folds)
        if args.plan:
            print_plan(args, corpus)
            sys.exit(0)
    args, resumed = read_resumed(build_parser(), args)
    if args.tensorboard:
        import_writer()
    check_flags(args)
    return args, resumed


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


if __name__ == "__main__":
    run(main)
