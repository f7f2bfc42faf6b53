"""What gpu.py measures, a function for each of its processes: they run in a folder that write_dataset() filled."""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch

import train
from benchmarks import contenders, synthetic
from benchmarks.common import Row
from benchmarks.contenders import wait_for
from loaders.freesound_loader import FreesoundLoader
from losses import get_loss
from predicting.checkpoint import load_checkpoint
from predicting.paths import checkpoint_path
from predicting.tta import predict
from training.graphs import quicken
from training.scaling import LossScaler
from training.schedule import get_optimizer
from utils.devices import DTYPES, set_up_device

LOSS_TOLERANCE = 0.02  # relative, in fp32; what differs is the order of sums, which training magnifies
PROBABILITY_TOLERANCE = 0.05  # on average, relative to their mean, between precisions


def checks(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Whether the device's losses are the CPU's, a resumed run ends in the same bits, precisions agree."""
    set_up_device(device, deterministic=True)
    cpu, there = (losses(args, each, args.check_steps)[0] for each in (torch.device("cpu"), device))
    off = apart(there, cpu)
    differing = resumed_differently(args)
    torch.use_deterministic_algorithms(False)
    recorded = [graphs(args, device, there)] if device.type == "cuda" else []  # before TF32 is allowed
    set_up_device(device)
    rows = [
        row(f"losses of {args.check_steps} steps in fp32 against the CPU", f"{off:.1e} apart at most, relatively",
            off < LOSS_TOLERANCE),
        *recorded,
        row("resume with --deterministic", f"{differing} tensors differ in a bit", differing == 0),
        *precisions(args, device),
    ]  # fmt: skip
    return {"rows": rows, "passed": all(each["passed"] == "yes" for each in rows)}


def graphs(args: argparse.Namespace, device: torch.device, eager: torch.Tensor) -> Row:
    """Whether a recorded network has the losses (steps,) of an eager one."""
    off = apart(losses(args, device, args.check_steps, recorded=True)[0], eager)
    return row("the same as CUDA graphs", f"{off:.1e} apart from eager at most, relatively", off < LOSS_TOLERANCE)


def apart(made: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest relative difference."""
    return float(((made - expected).abs() / expected.abs()).max())


def row(check: str, result: str, passed: bool) -> Row:
    return {"check": check, "result": result, "passed": "yes" if passed else "NO"}


def losses(
    args: argparse.Namespace, device: torch.device, steps: int, recorded: bool = False
) -> tuple[torch.Tensor, torch.nn.Module, Any]:
    """Losses (steps,) of train.py's step in fp32 without dropout, the network they leave, and the loader."""
    run_args = flags(args, "--l_rate", 0.01, "--dropout_rate", 0, "--n_iter", steps)
    loader = train.build_loader(run_args, device)
    torch.manual_seed(0)
    model = train.build_model(run_args, len(loader.class_names)).to(device, memory_format=torch.channels_last).train()
    optimizer = get_optimizer("sgd", model, run_args.l_rate, run_args.momentum, run_args.weight_decay)
    precise = torch.float32, LossScaler(torch.float32, device)
    engine = quicken(model, run_args, device, torch.float32, compiled=False, graphs=recorded)
    made = [
        train.train_step(run_args, step, loader, engine, optimizer, get_loss(run_args.loss), device, *precise).cpu()
        for step in range(steps)
    ]
    return torch.stack(made), model, loader


def flags(args: argparse.Namespace, *more: object) -> argparse.Namespace:
    """train.py's arguments for a check: smaller batches, since the CPU takes part."""
    return train.build_parser().parse_args(command(args, *more))


def command(args: argparse.Namespace, *more: object) -> list[str]:
    sizes = ("--arch", args.arch, "--img_rows", args.img_rows, "--img_cols", args.img_cols)
    words = [*synthetic.TRAIN_FLAGS, "--fold_split", "random", *sizes]
    words += ["--batch_size", min(args.batch_size, 32), *(["--use_cbam"] if args.arch.startswith("resnet") else [])]
    return [str(word) for word in (*words, *more)]


def resumed_differently(args: argparse.Namespace) -> int:
    """How many tensors differ between a run of six steps and one that was stopped in the fourth and resumed."""
    words = command(args, "--device", args.device, "--deterministic", "--n_iter", 6, "--eval_freq", 0)
    call_train(*words, "--checkpoint_dir", "whole")
    batch = FreesoundLoader.batch

    def stopping(loader: FreesoundLoader, number: int) -> Any:
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(loader, number)

    with mock.patch.object(FreesoundLoader, "batch", stopping):
        call_train(*words, "--checkpoint_dir", "parts")
    call_train(*words, "--checkpoint_dir", "parts", "--resume", "auto")
    paths = [checkpoint_path(flags(args, "--checkpoint_dir", folder), "last") for folder in ("whole", "parts")]
    whole, parts = (load_checkpoint(path) for path in paths)
    pairs = [(tensor, parts["model"][name]) for name, tensor in whole["model"].items()]
    pairs += [(whole["losses"], parts["losses"])]
    return sum(not torch.equal(one, other) for one, other in pairs)


def call_train(*words: str) -> None:
    """Run train.py's main() here, and what it prints goes to stderr."""
    argv = mock.patch.object(sys, "argv", ["train.py", *words])
    with argv, contextlib.redirect_stdout(sys.stderr):
        train.main()


def precisions(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Validation in each precision that the device has against fp32, after a few steps."""
    _, model, loader = losses(args, device, args.check_steps)
    tables = {
        name: predict(model, loader.held_out, args.img_cols, args.batch_size, device, precision=DTYPES[name])
        for name in ("fp32", "bf16", *(["fp16"] if device.type == "cuda" else []))
    }
    rows = []
    for name in list(tables)[1:]:
        apart = float(np.abs(tables[name] - tables["fp32"]).mean() / tables["fp32"].mean())
        told = f"probabilities {apart:.1e} apart on average, relatively"
        rows.append(row(f"validation in {name} against fp32", told, apart < PROBABILITY_TOLERANCE))
    return rows


def speed(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Seconds a step of train.py and of the bare network, in turn.  args.mode: one of MODES."""
    bench = argparse.Namespace(**vars(args), batch_sizes=[args.batch_size])
    began = time.monotonic()
    works = [contenders.real_step(bench)]
    works[0](max(args.steps // 5, 1))
    cold = time.monotonic() - began
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    works.append(contenders.bare_network(bench))
    works[1](max(args.steps // 5, 1))
    rounds = [[timed(work, args.steps) for work in works] for _ in range(args.repeats)]
    shares = [bare / step for step, bare in rounds]
    step, bare = (median(times) for times in zip(*rounds, strict=True))
    found = {"step": step, "bare": bare, "share": median(shares), "low": min(shares), "high": max(shares)}
    return found | {"cold": cold, "memory": memory}


def timed(work: Callable[[int], object], amount: int) -> float:
    """Seconds a unit of work."""
    began = time.perf_counter()
    work(amount)
    return (time.perf_counter() - began) / amount


def others(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Validation, test.py's crops and the features, each as a rate."""
    from loaders.clip_features import sample_features

    set_up_device(device)
    run_args = flags(args)
    loader = train.build_loader(run_args, device)
    model = train.build_model(run_args, len(loader.class_names)).to(device, memory_format=torch.channels_last)
    rows = []
    for what, tta in (("validation, crops half a crop apart", None), ("test.py --tta 8", 8)):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def scored(_: int, tta: int | None = tta) -> None:
            precision = DTYPES[args.precision]
            predict(model, loader.held_out, args.img_cols, args.batch_size, device, tta=tta, precision=precision)
            wait_for(device)

        scored(1)
        seconds = median(timed(scored, 1) for _ in range(args.repeats))
        memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
        rows.append({"what": what, "a second": f"{len(loader.held_out) / seconds:,.0f} clips a network",
                     "peak GiB": f"{memory / 2**30:.2f}"})  # fmt: skip
    samples = np.random.default_rng(0).normal(0, 0.1, 10 * loader.settings.sampling_rate).astype(np.float32)
    try:
        sample_features(samples, loader.settings)
        seconds = median(timed(lambda _: sample_features(samples, loader.settings), 1) for _ in range(args.repeats))
        rate = f"{10 / seconds:,.0f} s of sound"
    except ImportError as error:
        rate = f"not measured: {error.name.partition('.')[0]} is not installed here"
    return {"rows": [*rows, {"what": "features, on the CPU, one process", "a second": rate, "peak GiB": ""}]}


PARTS = {"checks": checks, "speed": speed, "others": others}
