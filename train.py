"""Train one fold of an audio tagger from scratch.  `python train.py -h` tells all flags."""

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from loaders import get_data_path, get_loader
from loaders.folds import settle_folds
from loaders.layouts import read_corpus
from loaders.pcen import AudioSettings
from loaders.selection import load_noisy_scores
from losses import Criterion, get_loss
from models import get_model
from utils.augment import equalize, mixup, resize_crop, smooth_labels, spec_augment
from utils.average import AveragedModel
from utils.checkpoint import load_checkpoint
from utils.cli import can_be, given_flags
from utils.devices import keep_freed_memory, pick_device, pick_precision, set_determinism
from utils.errors import MisuseError, UserError, run
from utils.interrupts import Interrupts
from utils.names import checkpoint_path
from utils.optimizers import get_optimizer
from utils.predict import predict
from utils.recipes import RECIPES, describe
from utils.schedule import learning_rate
from utils.team import SOLO, Team, join_team, restarted
from utils.tensorboard import Tensorboard, import_writer
from utils.train_flags import build_parser
from utils.training_run import HERE_ONLY, TrainingRun


def main() -> int:
    args, resumed = parse_args()
    device = pick_device(args.device)
    precision = pick_precision(args.precision, device)
    set_determinism(args.deterministic)
    keep_freed_memory()
    team = join_team(args.batch_size, device)
    torch.manual_seed(args.seed)

    settings = AudioSettings(args.sampling_rate, args.img_rows)
    loader = get_loader(args.dataset)(
        args.dataset, args.split, settings, args.img_cols, args.batch_size, args.seed, device,
        args.fold_num, args.num_folds, args.fold_split, args.noisy_weight, args.curated_share,
        load_noisy_scores(args) if args.noisy_scores else None, args.noisy_precision,
    )  # fmt: skip
    model = build_model(args, len(loader.class_names)).to(device, memory_format=torch.channels_last)
    optimizer = get_optimizer(args.optimizer, model, args.l_rate, args.momentum, args.weight_decay)
    averaged = AveragedModel(model, args.ema_decay) if args.ema_decay else None
    if args.compile:
        model.compile()
    engine = team.wrap(model, device)
    criterion = get_loss(args.loss, args.gamma_fl)
    training = TrainingRun(args, loader, model, optimizer, averaged, resumed, writes=team.rank == 0)
    tensorboard = None
    if args.tensorboard and team.rank == 0:
        tensorboard = Tensorboard(args, model, training.step, training.log)
    team.reseed(args.seed, training.step)

    def predict_held_out(rows: np.ndarray) -> np.ndarray:
        return predict(
            averaged.model if averaged else model, loader.held_out.select(rows), args.img_cols, args.batch_size,
            device, slack=settings.edge_frames, precision=precision, label="validation",
        )  # fmt: skip

    def scores() -> np.ndarray:
        probabilities = team.rows(len(loader.held_out), len(loader.class_names), device, predict_held_out)
        model.train()
        return probabilities

    print(describe(args.recipe, args))
    members = f" x {team.size}" if team.size > 1 else ""
    print(f"{len(loader.clips)} training clips, {len(loader.held_out)} held out, {device}{members}", flush=True)
    model.train()
    quiet = True if team.rank else None  # None: where the output is no terminal
    with Interrupts() as interrupts, team.watched():
        for step in trange(training.step, args.n_iter, initial=training.step, total=args.n_iter, disable=quiet):
            loss = train_step(args, step, loader, engine, optimizer, criterion, device, precision, team)
            if averaged:
                averaged.update(step)
            training.after_step(loss, scores)
            if tensorboard:
                tensorboard.after_step(training.log)
            if (received := team.any(interrupts.received or 0)) and training.step < args.n_iter:
                path = training.save()
                print(f"stopped after step {training.step}; to go on: python train.py --resume {path}", flush=True)
                return 128 + received
    report(training)
    return 0


def train_step(
    args: argparse.Namespace,
    step: int,
    loader: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: Criterion,
    device: torch.device,
    precision: torch.dtype,
    team: Team = SOLO,
) -> Tensor:
    """One optimizer step; returns its loss, a scalar on the device that nobody has waited for; NaN if the loss or
    a gradient is not finite.

    Whatever is random in it but dropout is a function of the seed and the step alone.
    """
    total = torch.zeros((), device=device)
    for number in range(step * args.iter_size, (step + 1) * args.iter_size):
        rng = np.random.default_rng([args.seed, 2, number])
        inputs, targets = loader.batch(number)
        if args.use_resized_crop:
            inputs = resize_crop(inputs, rng)
        if args.use_equalizer:
            inputs = equalize(inputs, rng)
        if args.label_smoothing:
            targets = smooth_labels(targets, args.label_smoothing)
        if args.use_mix_up:
            inputs, targets = mixup(inputs, targets, rng)
        if args.use_spec_aug:
            inputs = spec_augment(inputs, rng, args.mask_share)
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            logits = team.whole(model(team.share(inputs)))
        loss = criterion(logits, targets) / args.iter_size
        (loss * team.size).backward()  # since the gradients of several processes are averaged
        total += loss.detach()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    total = torch.where(nn.utils.get_total_norm(gradients).isfinite(), total, torch.nan)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, args.n_iter, args.l_rate, args.num_cycles)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def build_model(args: argparse.Namespace, n_classes: int) -> nn.Module:
    try:
        return get_model(
            args.arch, n_classes, use_cbam=args.use_cbam, dropout_rate=args.dropout_rate,
            pooling=args.pooling, use_coordinate=args.use_coordinate,
        )  # fmt: skip
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


def parse_args() -> tuple[argparse.Namespace, dict[str, Any] | None]:
    """The run's arguments, those of a resumed run included, and its checkpoint."""
    parser = build_parser()
    parser.set_defaults(**RECIPES[parser.parse_args().recipe])
    args = parser.parse_args()
    check_flags(args)
    if args.resume in (None, "auto"):
        curated = read_corpus(get_data_path(args.dataset)).subset("train_curated")
        args.fold_split, args.num_folds = settle_folds(curated, args.fold_split, args.num_folds)
    resumed = None
    if restarted() and not args.resume and checkpoint_path(args, "last").exists():
        args.resume = str(checkpoint_path(args, "last"))
    if args.resume:
        resumed = load_checkpoint(args.resume)
        for name, value in given_flags(build_parser()).items():
            if name not in HERE_ONLY and value != resumed["args"].get(name, value):
                raise MisuseError(f"--{name} {value}: {args.resume} was trained with {resumed['args'][name]}")
        trained = {name: value for name, value in resumed["args"].items() if name not in HERE_ONLY}
        for action in parser._actions:
            if action.dest in trained and not can_be(action, trained[action.dest]):
                raise UserError(
                    f"{args.resume} was trained with {action.dest} {trained[action.dest]!r}, which no run can have"
                )
        args = argparse.Namespace(**{**vars(args), **trained})
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
    try:
        get_loss(args.loss)
    except ValueError as error:
        raise (UserError(f"{args.resume}: {error}") if args.resume else MisuseError(f"--loss: {error}")) from None


if __name__ == "__main__":
    run(main)
