"""A network's training pass recorded as CUDA graphs, so that a GPU need not wait for its kernels to be launched."""

import argparse
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

from training.processes import ALONE, Processes
from utils import streams
from utils.errors import UserError, one_line

COMPILE_PAYS = 10_000  # steps from which on compilation pays: on an H200 it costs 34 s and saves 5 ms a step


def pick_compile(asked: bool | None, device: torch.device, n_iter: int, deterministic: bool) -> bool:
    """Whether to compile the network.

    asked: None leaves it to the length of the run: compiled are runs on a GPU that are long enough to pay for it, where
    there is what Triton needs.
    """
    if asked is not None or device.type != "cuda" or deterministic or n_iter < COMPILE_PAYS:
        return bool(asked)
    compiler = os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))
    return bool(find_spec("triton") and compiler and torch.cuda.get_device_capability(device) >= (7, 0))


@dataclass(frozen=True)
class Setup:
    """The run's arguments, and where and how exactly they are computed with."""

    args: argparse.Namespace
    device: torch.device
    precision: torch.dtype = torch.float32
    processes: Processes = ALONE
    compiled: bool = False
    graphs: bool = True  # whether a GPU may record the network's passes as CUDA graphs

    @property
    def seed(self) -> int:
        """Of all that a training draws; which clips a fold holds out depends on --seed alone."""
        return streams.seed_of_fold(self.args.seed, self.args.fold_num) if self.args.fold_seeds else self.args.seed


def quicken(model: nn.Module, setup: Setup) -> nn.Module:
    """What training steps pass their batches through: the network compiled, recorded, or as it is.

    CUDA graphs, compiled or not, need a GPU and one process, and do without --iter_size above 1 and --deterministic.
    """
    args, device = setup.args, setup.device
    graphs = setup.graphs and device.type == "cuda" and setup.processes.size == 1
    graphs = graphs and args.iter_size == 1 and not args.deterministic
    if setup.compiled:
        model.compile(mode="reduce-overhead" if graphs else None)
    elif graphs:
        return record(model, (args.batch_size, 1, args.img_rows, args.img_cols), device, setup.precision)
    return model


def record(model: nn.Module, shape: tuple[int, ...], device: torch.device, precision: torch.dtype) -> nn.Module:
    """What takes inputs of that shape through the network, forward and backward, by replaying two CUDA graphs.

    A small network's step is some thousand kernels, and Python takes longer to launch them than they take to run.
    The model itself stays as it was, for inputs of any shape; both share weights and the norms' statistics.  Afterwards
    weights may be changed in place only.  Each backward pass writes its gradients to the same memory, so those of
    several passes cannot be added up.  Raises UserError where the recording fails, as a GPU may be left unusable then.
    """
    engine = nn.Sequential(model)  # recording replaces a module's forward(), and the model is to keep its own
    statistics = [buffer.clone() for buffer in model.buffers()]
    generator = torch.cuda.get_rng_state(device)
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # recording takes place on its own stream
    try:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32, cache_enabled=False):
            torch.cuda.make_graphed_callables(engine, (torch.zeros(shape, device=device),))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        text = f"this GPU does not record the network as CUDA graphs: {one_line(str(error), 200)}"
        raise UserError(f"{text}; give --deterministic, which does without") from None
    with torch.no_grad():  # back to where they were before the passes that warm up
        for buffer, before in zip(model.buffers(), statistics, strict=True):
            buffer.copy_(before)
    torch.cuda.set_rng_state(generator, device)
    return engine
