"""What can be timed as a training step.  Each builder returns a function that does the number of steps it is given.

They run in a folder that synthetic.write_dataset() filled.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks import plain, synthetic
from losses import get_loss
from train import build_loader, build_model, train_step
from training.flags import build_parser
from training.graphs import quicken
from training.scaling import LossScaler
from training.schedule import get_optimizer, parameter_groups
from utils.devices import DTYPES, pick_device, set_up_device

Work = Callable[[int], None]


def real_step(args: argparse.Namespace, fold_split: str = "random") -> Work:
    """train.py's own step, everything on, set up as its main() does."""
    (device, precision), run_args = settle(args), training_args(args, fold_split)
    loader = build_loader(run_args, device)
    model, engine = network(run_args, args.mode, device, precision)
    optimizer = get_optimizer("sgd", model, run_args.l_rate, run_args.momentum, run_args.weight_decay)
    criterion = get_loss(run_args.loss, run_args.gamma_fl)
    scaler = LossScaler(precision, device)
    done = 0

    def work(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            train_step(run_args, done, loader, engine, optimizer, criterion, device, precision, scaler)
            done += 1
        wait_for(device)

    return work


def bare_network(args: argparse.Namespace, memory_format: torch.memory_format = torch.channels_last) -> Work:
    """Forward, the sum of the logits as loss, backward and SGD on one batch: no step can be faster."""
    (device, precision), run_args = settle(args), training_args(args)
    model, engine = network(run_args, args.mode, device, precision, memory_format)
    groups = parameter_groups(model, run_args.weight_decay)
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=run_args.momentum, fused=True)  # a rate of 0 costs the same
    inputs = torch.rand(run_args.batch_size, 1, run_args.img_rows, run_args.img_cols, device=device)

    def work(steps: int) -> None:
        for _ in range(steps):
            with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
                logits = engine(inputs)
            logits.float().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        wait_for(device)

    return work


def contiguous_network(args: argparse.Namespace) -> Work:
    """The bare network in the other memory format, to see which of the two is the faster here."""
    return bare_network(args, torch.contiguous_format)


def plain_pipeline(args: argparse.Namespace) -> Work:
    """The per-sample pipeline of plain.py, always in float32, never compiled."""
    device = pick_device(args.device)
    clips = plain.ClipFiles(Path(), args.img_cols)
    model = plain.plainly(build_model(training_args(args), len(clips.class_names)))
    train = plain.trainer(model, clips, args.batch_sizes[0], device, args.workers)

    def work(steps: int) -> None:
        train(steps)
        wait_for(device)

    return work


def settle(args: argparse.Namespace) -> tuple[torch.device, torch.dtype]:
    """What train.py's main() sets for the whole process."""
    device = pick_device(args.device)
    set_up_device(device)
    torch.manual_seed(0)
    return device, DTYPES[args.precision]


def training_args(args: argparse.Namespace, fold_split: str = "random") -> argparse.Namespace:
    """The arguments of train.py for a benchmark's."""
    sizes = {"arch": args.arch, "batch_size": args.batch_sizes[0], "img_rows": args.img_rows, "img_cols": args.img_cols}
    command = [*synthetic.TRAIN_FLAGS, "--fold_split", fold_split]
    command += ["--use_cbam"] if args.arch.startswith("resnet") else []
    command += [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    return build_parser().parse_args(command)


def network(
    run_args: argparse.Namespace,
    mode: str,
    device: torch.device,
    precision: torch.dtype,
    memory_format: torch.memory_format = torch.channels_last,
) -> tuple[nn.Module, nn.Module]:
    """A fresh network ready to train, and what passes inputs through it in one of the MODES."""
    model = build_model(run_args, len(synthetic.CLASSES)).to(device, memory_format=memory_format).train()
    return model, quicken(model, run_args, device, precision, compiled=mode == "compiled", graphs=mode != "eager")


def wait_for(device: torch.device) -> None:
    """Wait for the device; at the end of a round only, since a step waits for nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
