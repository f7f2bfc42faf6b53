"""Run by torchrun in test_processes.py, and by the test itself as a single process: steps and scores of one process."""

import os
import shlex
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from predicting.tta import predict
from train import train_step
from training.flags import build_parser
from training.processes import join_processes
from training.setup import Setup, build_pool, build_training

CPU = torch.device("cpu")


def main(output: str) -> None:
    """Two steps from the same weights, norms held still, since these are not synchronised on CPUs; then scores."""
    flags = "--dataset tiny --num_folds 2 --sampling_rate 16000 --img_rows 32 --img_cols 64 --batch_size 12 --use_cbam "
    flags += "--n_iter 4 --iter_size 2 --use_mix_up --use_spec_aug --l_rate 0.01 --seed 5 --dropout_rate 0"
    args = build_parser().parse_args(shlex.split(flags))
    team = join_processes(12, CPU)
    training = build_training(Setup(args, CPU, processes=team), build_pool(args))
    model, meetings = training.model, []

    def meet(_: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        meetings.append(bucket.is_last())
        return allreduce_hook(None, bucket)

    if team.size > 1:
        training.network.register_comm_hook(None, meet)
    losses = []
    for step in (1, 2):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        losses.append(train_step(training, step))
    marked = nn.BatchNorm2d(1)
    marked.running_mean.fill_(team.rank)
    team.align(marked)
    aligned = team.any(int(marked.running_mean.item())) == 0
    held_out = training.held_out
    scores = team.rows(len(held_out), 4, lambda rows: predict(model, held_out.select(rows), 64, 12, CPU))
    stop = team.any(7 if team.rank == team.size - 1 else 0)
    if team.rank == 0:
        state = {"model": model.state_dict(), "losses": torch.stack(losses), "scores": torch.from_numpy(scores)}
        torch.save(state | {"stop": stop, "size": team.size, "meetings": sum(meetings), "aligned": aligned}, output)
    team.leave(0)


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # as utils.errors.run does
