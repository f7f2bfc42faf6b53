"""One command for a GPU: whether it computes the same, then how fast, into benchmarks/gpu_CARD.md, in eight minutes.

It makes its own data (random features) and needs no network and none of the audio packages.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import contextlib
import os
import signal
import subprocess
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import torch

import train
from benchmarks import speed
from benchmarks.common import ROOT, Contender, Row, machine, publish, script, time_in_turn
from benchmarks.synthetic import write_dataset
from predicting.checkpoint import load_checkpoint
from predicting.tta import predict
from training.setup import Training, build_pool
from utils.devices import DTYPES, pick_device, set_up_device
from utils.errors import UserError, run

LOSS_TOLERANCE = 0.02  # relative, in fp32; what differs is the order of sums, which training magnifies
PROBABILITY_TOLERANCE = 0.05  # on average, relative to their mean, between precisions
LARGEST_CHECKED = 16  # batch, since the CPU takes part
SIZES = {"batch_size": 128, "clips": 4000, "steps": 50, "predicted": 100}


def main() -> int:
    how = {"device": "cuda", "precision": "auto", "modes": speed.MODES, "parts": ["step", "predict"]}
    args = speed.parse_args(__doc__, "python benchmarks/gpu.py", **SIZES, **how)
    if args.output or args.device == "cuda":
        card = machine(args.device).lower().replace(" ", "_")
        args.output = args.output or ROOT / "benchmarks" / f"gpu_{card}.md"
        Path(args.output).write_text("# On a GPU\n\nWritten by `python benchmarks/gpu.py`.\n\n", encoding="utf-8")
    with TemporaryDirectory() as name, contextlib.chdir(name):
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": name, "TRITON_CACHE_DIR": name}  # else a cold start is none
        write_dataset(Path(), args.clips)
        checked = Contender("checks", partial, (check, args))  # a process of its own: what a check sets stays set
        time_in_turn([checked], 0, min(args.steps, 20))
        publish("Whether it computes the same", f"{args.arch}, random features", checked.result, args)
        speed.measure_all(args, speed.STEPS, speed.PREDICTIONS)
    return int(any(row["passed"] == "NO" for row in checked.result))


def check(args: argparse.Namespace, steps: int) -> list[Row]:
    """Whether the device's losses of so many steps are the CPU's, a resumed run ends in the same bits, and precisions
    agree.
    """
    device = pick_device(args.device)
    set_up_device(device, deterministic=True)
    (on_cpu, _), (there, training) = losses(args, steps, "cpu"), losses(args, steps, args.device)
    rows = [
        row(f"losses of {steps} whole steps in fp32 against the CPU", apart(there, on_cpu), LOSS_TOLERANCE),
        row("batches gathered in the host's memory against those on the device", gathered(training)),
    ]
    torch.use_deterministic_algorithms(False)
    if device.type == "cuda":  # before TF32 is allowed
        recorded, _ = losses(args, steps, args.device, "recorded")
        rows.append(row("losses by recorded graphs against eager ones", apart(recorded, there), LOSS_TOLERANCE))
    rows.append(row("resume with --deterministic: tensors that differ in a bit", resumed_differently(args)))
    set_up_device(device)
    names = ["fp32", "bf16", *(["fp16"] if device.type == "cuda" else [])]
    sizes = training.setup.args.img_cols, args.batch_size, device
    tables = [predict(training.model, training.held_out, *sizes, precision=DTYPES[name]) for name in names]
    for name, table in zip(names[1:], tables[1:], strict=True):
        off = float(np.abs(table - tables[0]).mean() / tables[0].mean())
        rows.append(row(f"probabilities in {name} against fp32, on average", off, PROBABILITY_TOLERANCE))
    return rows


def row(check: str, difference: float, tolerance: float = 0) -> Row:
    passed = "yes" if difference <= tolerance else "NO"
    return {"check": check, "difference": f"{difference:.1e}", "at most": f"{tolerance:g}", "passed": passed}


def losses(args: argparse.Namespace, steps: int, device: str, mode: str = "eager") -> tuple[torch.Tensor, Training]:
    """Losses (steps,) of train.py's step in fp32 without dropout, and the training after them."""
    how = argparse.Namespace(**vars(args) | {"device": device, "mode": mode, "precision": "fp32"})
    training = speed.build(how, *small(args), "--l_rate", 0.01, "--dropout_rate", 0, "--n_iter", steps)
    return torch.stack([train.train_step(training, step).cpu() for step in range(steps)]), training


def small(args: argparse.Namespace) -> tuple[object, ...]:
    return "--batch_size", min(args.batch_size, LARGEST_CHECKED)


def apart(made: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest relative difference."""
    return float(((made - expected).abs() / expected.abs()).max())


def gathered(training: Training) -> float:
    """The largest difference of inputs between the batches as they are, and from features that stay in files."""
    from_files = replace(training.batches, clips=build_pool(training.setup.args).clips)
    return max(float((training.batches(n)[0] - from_files(n)[0]).abs().max()) for n in range(3))


def resumed_differently(args: argparse.Namespace) -> int:
    """How many tensors differ between a whole run and one that was stopped after its first step and resumed."""
    flags = [*speed.train_words(args), *small(args), "--device", args.device, "--deterministic"]
    flags += ["--n_iter", 20, "--eval_freq", 0, "--print_train_freq", 1]
    script("train.py", *flags, "--checkpoint_dir", "whole")
    command = [sys.executable, "-u", str(ROOT / "train.py"), *map(str, flags), "--checkpoint_dir", "parts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stopped:
        next((line for line in stopped.stdout if line.startswith("step 1/")), None)
        stopped.send_signal(signal.SIGTERM)
        stopped.stdout.read()
    if stopped.returncode != 128 + signal.SIGTERM:
        raise UserError(f"the run that was to be stopped ended with exit code {stopped.returncode}")
    script("train.py", *flags, "--checkpoint_dir", "parts", "--resume", "auto")
    whole, parts = (load_checkpoint(next(Path(name).glob("*_last_*.pth"))) for name in ("whole", "parts"))
    pairs = [(tensor, parts["model"][name]) for name, tensor in whole["model"].items()]
    return sum(not torch.equal(one, other) for one, other in [*pairs, (whole["losses"], parts["losses"])])


if __name__ == "__main__":
    run(main)
