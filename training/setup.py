"""What a training step needs: batches, network, loss, optimizer, device.  train.py and the benchmarks build it here."""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from loaders.clips import Clips
from loaders.pcen import audio_settings
from loaders.pool import Pool, read_pool
from loaders.sampling import Batches, Sampler
from losses import Criterion, get_loss
from models import get_model
from training.graphs import Setup, quicken
from training.schedule import fine_tuning_from, get_optimizer
from training.selection import believable_clips
from utils.errors import MisuseError

FIRST_SCALE = 2.0**16  # of the loss in fp16 (Micikevicius et al. 2018, section 3.2)


@dataclass(frozen=True)
class Training:
    """All that a step needs.  It changes the weights, the norms' statistics, the optimizer and the loss's scale."""

    setup: Setup
    batches: Batches
    held_out: Clips
    model: nn.Module  # for validation and checkpoints
    network: nn.Module  # the same weights, as steps use them: compiled, recorded, or shared by several processes
    optimizer: torch.optim.Optimizer
    criterion: Criterion
    scaler: torch.amp.GradScaler  # of the loss in fp16; elsewhere it does nothing
    skipped: Tensor  # int64 on the device: steps that were skipped, as a gradient overflowed

    def finite_gradients(self) -> Tensor:
        """Scale the gradients down; a bool on the device: whether all are finite.  In fp16 a step without is skipped
        and counted, which is no fault.
        """
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = torch.nn.utils.get_total_norm(gradients).isfinite()
        if not self.scaler.is_enabled():
            return finite
        self.skipped.add_(~finite)
        return torch.ones_like(finite)


def build_training(setup: Setup, pool: Pool) -> Training:
    """A training before its first step, its weights drawn from the seed."""
    args, device = setup.args, setup.device
    torch.manual_seed(setup.seed)
    batches, held_out = build_batches(setup, pool)
    model = build_model(args, len(pool.corpus.class_names)).to(device, memory_format=torch.channels_last).train()
    network = setup.processes.wrap(quicken(model, setup), device)
    optimizer = get_optimizer(args.optimizer, model, args.l_rate, args.momentum, args.weight_decay)
    scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=setup.precision == torch.float16)
    criterion, skipped = get_loss(args.loss, args.gamma_fl), torch.zeros((), dtype=torch.int64, device=device)
    return Training(setup, batches, held_out, model, network, optimizer, criterion, scaler, skipped)


def build_pool(args: argparse.Namespace, resumed: dict[str, Any] | None = None) -> Pool:
    """The clips of the run's fold, from tables in the order that the checkpoint to go on from knew, if any."""
    order = (resumed["class_names"], resumed["order"]) if resumed else ([], {})
    keep_noisy = believable_clips(args) if args.noisy_scores else None
    folds = args.fold_num, args.num_folds, args.fold_split
    return read_pool(
        args.dataset, args.split, audio_settings(args), args.seed, args.noisy_weight, *folds, keep_noisy, order
    )


def build_batches(setup: Setup, pool: Pool) -> tuple[Batches, Clips]:
    """The fold's batches, and its held-out clips; each array of features is on the device once, if it fits."""
    args, clips = setup.args, pool.clips
    together = (clips + pool.held_out).to(setup.device)
    final_from = fine_tuning_from(args.n_iter, args.fine_tune) * args.iter_size
    shares = args.curated_share, args.final_share, final_from
    sampler = Sampler(len(pool.curated), len(clips), args.batch_size, setup.seed, *shares)
    targets = torch.from_numpy(pool.targets).to(setup.device)
    batches = Batches(together.select(np.arange(len(clips))), targets, sampler, args.img_cols)
    return batches, together.select(np.arange(len(clips), len(together)))


def build_model(args: argparse.Namespace, n_classes: int) -> nn.Module:
    """The network that the arguments describe, its weights random."""
    try:
        return get_model(args.arch, n_classes, use_cbam=args.use_cbam, dropout_rate=args.dropout_rate)
    except ValueError as error:
        raise MisuseError(str(error)) from None
