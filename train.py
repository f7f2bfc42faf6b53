"""Train one fold of an audio tagger from scratch.  `python train.py -h` lists all flags."""

from argparse import Namespace
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from predicting.tta import predict, shift_of
from training.augment import mixup, random_level, shift_bands, spec_augment
from training.flags import describe_recipe
from training.interrupts import Interrupts
from training.progress import Progress
from training.schedule import fine_tuning_from, learning_rate
from training.setup import Training, build_pool, build_training
from training.start import State, check_data, clear, parse_args, set_up
from training.tensorboard import Tensorboard
from utils import streams
from utils.devices import autocast, precision_name, torch_errors_in_one_line
from utils.errors import run


@torch_errors_in_one_line()
def main() -> int:
    with ExitStack() as held:  # the run's files
        return train(*parse_args(held))


def train(args: Namespace, resumed: State | None) -> int:
    """Train from the start, or go on from a checkpoint; the exit code."""
    setup = set_up(args, resumed)
    processes = setup.processes
    pool = build_pool(args, resumed)
    resumed = check_data(args, resumed, pool)
    if args.overwrite and processes.rank == 0:
        clear(args, going_on=resumed is not None)
    training = build_training(setup, pool)
    progress = Progress(training, pool, resumed, lambda: validate(training))
    logs = args.tensorboard and processes.rank == 0
    tensorboard = Tensorboard(args, training.network, progress.step, progress.log) if logs else None
    processes.reseed(setup.seed, progress.step)
    progress.recover()

    print(describe_recipe(args))
    where = f"{setup.device} x {processes.size}, {precision_name(setup.precision)}{', compiled' * setup.compiled}"
    clips = f"{len(pool.clips)} training clips, {len(pool.held_out)} held out"
    print(f"{clips}, {where}", flush=True)
    if pool.lacking:
        print(pool.lacking, flush=True)
    quiet = True if processes.rank else None  # None: where the output is no terminal
    with Interrupts() as interrupts:
        for step in trange(progress.step, args.n_iter, initial=progress.step, total=args.n_iter, disable=quiet):
            loss = train_step(training, step)
            received = processes.any(interrupts.received or 0)  # first: it notices a process that has died
            progress.after_step(loss)
            if tensorboard:
                tensorboard.after_step(progress.log)
            if received and progress.step < args.n_iter:
                path = progress.save()
                print(f"stopped after step {progress.step}; to go on: python train.py --resume {path}", flush=True)
                return processes.leave(128 + received)
    if processes.rank == 0:
        progress.report()
    return processes.leave(0)


def train_step(training: Training, step: int) -> Tensor:
    """One optimizer step; returns its loss, a scalar on the device that nobody has waited for; NaN if the loss or
    a gradient is not finite (in fp16 such a gradient skips the step).

    Whatever is random in it but dropout is a function of the seed and the step.
    """
    setup, network, scaler = training.setup, training.network, training.scaler
    args, processes = setup.args, setup.processes
    total = torch.zeros((), device=setup.device)
    fine_tuning = step >= fine_tuning_from(args.n_iter, args.fine_tune)
    for number in range(step * args.iter_size, (step + 1) * args.iter_size):
        rng = streams.generator(setup.seed, streams.AUGMENTATION, number)
        inputs, targets = training.batches(number)
        if args.level_range:
            inputs = random_level(inputs, rng, args.level_range)
        if args.shift_share and not fine_tuning:
            inputs = shift_bands(inputs, rng, args.shift_share)
        if args.use_mix_up and not fine_tuning:
            inputs, targets = mixup(inputs, targets, rng)
        if args.use_spec_aug:
            inputs = spec_augment(inputs, rng, args.mask_share)
        with processes.gradients_meet(network, now=number == (step + 1) * args.iter_size - 1):
            with autocast(setup.device, setup.precision):
                logits = processes.whole(network(processes.share(inputs)))
            loss = training.criterion(logits, targets) / args.iter_size
            scaler.scale(loss * processes.size).backward()  # since the gradients of several processes are averaged
        total += loss.detach()
    finite = training.finite_gradients()
    for group in training.optimizer.param_groups:
        group["lr"] = learning_rate(step, args.n_iter, args.l_rate, args.num_cycles)
    scaler.step(training.optimizer)
    scaler.update()
    training.optimizer.zero_grad(set_to_none=True)
    return torch.where(finite, total, torch.nan)


def validate(training: Training) -> np.ndarray:
    """Probabilities (n, C) of the held-out clips; several processes score some of them each."""
    setup, args, processes = training.setup, training.setup.args, training.setup.processes

    def some(rows: np.ndarray) -> np.ndarray:
        return predict(
            training.model, training.held_out.select(rows), args.img_cols, args.batch_size, setup.device,
            precision=setup.precision, label="validation", shift=shift_of(vars(args)), loss=args.loss,
        )  # fmt: skip

    processes.align(training.model)
    probabilities = processes.rows(len(training.held_out), training.batches.targets.shape[1], some)
    training.model.train()
    return probabilities


if __name__ == "__main__":
    run(main)
