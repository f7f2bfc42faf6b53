"""One training on several processes, started by torchrun: the same weights in all, a share of each batch for each.

Every process cuts and augments whole batches, which costs little, so clips, crops, mixup partners and masks are those
of a single process whatever the number of processes is.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils import streams
from utils.errors import MisuseError


@dataclass(frozen=True)
class Processes:
    """The processes of a training; rank 0 is the one that prints and writes."""

    rank: int = 0
    size: int = 1

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch (B, ...): (B / size, ...)."""
        return batch[self.rank :: self.size]

    def whole(self, logits: Tensor) -> Tensor:
        """The logits of all processes (B, C) from each one's (B / size, C); gradients flow to this one's rows only.

        A loss of the whole batch can so be of any form: it need not be a mean over samples.
        """
        if self.size == 1:
            return logits
        logits = logits.float()
        parts = [torch.empty_like(logits) for _ in range(self.size)]
        dist.all_gather(parts, logits.detach().contiguous())
        parts[self.rank] = logits
        return torch.stack(parts, dim=1).flatten(0, 1)  # row i of rank r is row i * size + r of the batch

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The network for training steps: gradients are the mean over processes, norms are synchronised on GPUs."""
        if self.size == 1:
            return model
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return nn.parallel.DistributedDataParallel(model)

    def align(self, model: nn.Module) -> None:
        """Give all processes the first one's statistics of norms, which is what is saved.  On GPUs they are one."""
        for buffer in model.buffers() if self.size > 1 else ():
            if buffer.device.type == "cpu":
                dist.broadcast(buffer, 0)

    def rows(self, n: int, n_columns: int, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """A table (n, n_columns) float32 of which each process computes some rows: compute(indices) -> their rows.

        Whole in the first process only.  Over gloo on GPUs too, which notices at once if a process has died.
        """
        if self.size == 1:
            return compute(np.arange(n))
        mine = np.arange(self.rank, n, self.size)
        table = torch.zeros(n, n_columns)
        if len(mine):
            table[torch.from_numpy(mine)] = torch.from_numpy(compute(mine))
        dist.reduce(table, 0)
        return table.numpy()

    def gradients_meet(self, model: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """For a forward and backward pass: whether processes average the gradients at its end, or later on."""
        return nullcontext() if now or self.size == 1 else model.no_sync()

    def any(self, flag: int) -> int:
        """The largest flag of any process, so that all stop after the same step.  Waits for no GPU."""
        if self.size == 1:
            return flag
        largest = torch.tensor(flag)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)

    def leave(self, code: int) -> int:
        """The exit code; several processes part here.  Each then ends at once (utils.errors.run): clean-up can hang."""
        if self.size > 1:
            with suppress(RuntimeError):
                dist.barrier()  # or the first one may still wait for what this one has sent
        return code

    def reseed(self, seed: int, step: int) -> None:
        """Give torch's generator, which dropout draws from, another stream in each process but the first."""
        if self.rank:
            torch.manual_seed(streams.torch_seed(seed, streams.DROPOUT, self.rank, step))


ALONE = Processes()


def restarts() -> int:
    """How often torchrun has started this training again, as one of its processes died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def join_processes(batch_size: int, device: torch.device) -> Processes:
    """The processes that torchrun has started, or this one alone.  Raises MisuseError."""
    if "RANK" not in os.environ:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # 2: let go of what waits for a dead process, and leave it to us to end, in one line; by default NCCL aborts
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
    store, rank, size = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"start {restarts()}", store)  # or a process finds the address of one that has died
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    if batch_size % size:
        raise MisuseError(f"--batch_size {batch_size} cannot be shared out evenly among {size} processes")
    if rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the first one speaks for all
    return Processes(rank, size)
