"""Train one fold of an audio tagger from scratch.  `python train.py -h` tells all flags."""

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from loaders import get_loader
from loaders.pcen import AudioSettings
from losses import Criterion, get_loss
from models import ARCHS, POOLINGS, get_model
from utils.augment import equalize, mixup, resize_crop, smooth_labels, spec_augment
from utils.average import AveragedModel
from utils.checkpoint import load_checkpoint
from utils.cli import can_be, given_flags, hertz, make_parser, natural_float, natural_int, positive_int, seed, share
from utils.devices import PRECISIONS, keep_freed_memory, pick_device, pick_precision, set_determinism
from utils.errors import MisuseError, UserError, run
from utils.interrupts import Interrupts
from utils.names import checkpoint_path
from utils.optimizers import OPTIMIZERS, get_optimizer
from utils.predict import predict
from utils.recipes import RECIPES, describe
from utils.schedule import learning_rate
from utils.team import SOLO, Team, join_team, restarted
from utils.tensorboard import Tensorboard, import_writer
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
    print(f"{len(loader.clips)} training clips, {len(loader.held_out)} held out, {device} x {team.size}", flush=True)
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
            inputs = spec_augment(inputs, rng)
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
    resumed = None
    if restarted() and not args.resume and checkpoint_path(args, "last").exists():
        args.resume = str(checkpoint_path(args, "last"))
    if args.resume:
        resumed = load_checkpoint(args.resume)
        for name, value in given_flags(parser).items():
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
    if args.num_folds < 2:
        raise MisuseError(f"--num_folds {args.num_folds}: there must be 2 or more, one of which is held out")
    if args.fold_num >= args.num_folds:
        raise MisuseError(
            f"--fold_num {args.fold_num}: folds of --num_folds {args.num_folds} are 0 to {args.num_folds - 1}"
        )
    try:
        get_loss(args.loss)
    except ValueError as error:
        raise (UserError(f"{args.resume}: {error}") if resumed else MisuseError(f"--loss: {error}")) from None
    return args, resumed


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        __doc__.split("\n")[0],
        "python train.py --arch resnet18 --use_cbam --use_mix_up --use_spec_aug --dataset freesound --fold_num 0",
    )
    on_off = {"action": argparse.BooleanOptionalAction, "default": False}
    data = parser.add_argument_group("data")
    parser.add_argument("--recipe", default="original", choices=list(RECIPES), help="preset of the flags below")
    data.add_argument("--dataset", default="freesound", help="a name in config.json")
    data.add_argument(
        "--split",
        default="train",
        choices=["train", "train_curated", "train_noisy"],
        help="clips to train on; train: this fold's curated ones and all noisy ones",
    )
    data.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    data.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop, 10 ms each")
    data.add_argument("--sampling_rate", type=hertz, default=44100, help="Hz")
    data.add_argument("--fold_num", type=natural_int, default=0, help="which fold to hold out")
    data.add_argument("--num_folds", type=positive_int, default=5, help="folds of the curated clips")
    data.add_argument("--fold_split", default="stratified", choices=["stratified", "random"], help="how to make folds")
    data.add_argument("--noisy_weight", type=share, default=0.8, help="confidence in the labels of noisy clips")
    data.add_argument(
        "--curated_share", type=share, default=0.0, help="of curated clips in a batch; 0: as many as there are"
    )
    net = parser.add_argument_group("network")
    net.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network")
    net.add_argument("--use_cbam", **on_off, help="attention at the end of each residual branch")
    net.add_argument("--dropout_rate", type=share, default=0.5, help="before the last layer")
    net.add_argument("--pooling", default="mean", choices=list(POOLINGS), help="from the last map to a vector")
    net.add_argument("--use_coordinate", **on_off, help="tell the network which mel band a row is")
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", default="bce+lovasz", help="terms to add up: bce, lovasz")
    loss.add_argument("--gamma_fl", type=natural_float, default=0.0, help="focal modulation of the BCE; 0: none")
    augment = parser.add_argument_group("augmentation")
    augment.add_argument("--use_mix_up", **on_off, help="mix pairs of clips")
    augment.add_argument("--use_spec_aug", **on_off, help="blank bands and spans")
    augment.add_argument("--use_resized_crop", **on_off, help="stretch and shift in time and frequency")
    augment.add_argument("--use_equalizer", **on_off, help="scale bands by a smooth random curve")
    augment.add_argument("--label_smoothing", type=share, default=0.0, help="share of the targets spread over all")
    steps = parser.add_argument_group("optimization")
    steps.add_argument("--n_iter", type=positive_int, default=40000, help="optimizer steps")
    steps.add_argument("--batch_size", type=positive_int, default=128, help="clips of a forward pass")
    steps.add_argument("--iter_size", type=positive_int, default=1, help="forward passes of a step")
    steps.add_argument("--optimizer", default="sgd", choices=OPTIMIZERS, help="adamw wants a rate of about 1e-3")
    steps.add_argument("--ema_decay", type=share, default=0.0, help="of averaged weights, which are scored; 0: none")
    steps.add_argument("--l_rate", type=natural_float, default=0.1, help="base learning rate")
    steps.add_argument("--momentum", type=share, default=0.9, help="of SGD; beta 1 of AdamW")
    steps.add_argument("--weight_decay", type=natural_float, default=1e-4, help="not on biases and norms")
    steps.add_argument(
        "--num_cycles",
        type=natural_int,
        default=0,
        help="0: drop to a tenth at 30, 60, 90 %% of the steps; n: n cosine cycles",
    )
    steps.add_argument("--seed", type=seed, default=1234, help="of everything random")
    work = parser.add_argument_group("run")
    work.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="auto: a GPU if there is one")
    work.add_argument("--precision", default="auto", choices=PRECISIONS, help="auto: bf16 on a GPU, fp32 on the CPU")
    work.add_argument("--deterministic", **on_off, help="same bits each time on a GPU too, slower")
    work.add_argument("--compile", **on_off, help="torch.compile the network: a minute of waiting, then faster steps")
    work.add_argument("--print_train_freq", type=positive_int, default=100, help="steps between lines")
    work.add_argument("--eval_freq", type=natural_int, default=2000, help="steps between validations; 0: at the end")
    work.add_argument("--save_freq", type=natural_int, default=0, help="steps between saves; 0: at each validation")
    work.add_argument("--tensorboard", **on_off, help="log to checkpoint_dir/tensorboard too")
    work.add_argument("--resume", metavar="PATH", help="go on from this checkpoint exactly where it stopped")
    work.add_argument("--checkpoint_dir", default="checkpoints", help="where checkpoints and logs go")
    return parser


if __name__ == "__main__":
    run(main)
