"""Run by torchrun in test_team.py, and by the test itself as a single process: steps and scores of one process."""

import shlex
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from loaders.freesound_loader import FreesoundLoader
from loaders.pcen import AudioSettings
from losses import get_loss
from models import get_model
from predicting.tta import predict
from train import train_step
from training.flags import build_parser
from training.processes import join_team
from training.scaling import LossScaler
from training.schedule import get_optimizer

CPU = torch.device("cpu")


def main(output: str) -> None:
    """Two steps from the same weights, norms held still, since these are not synchronised on CPUs; then scores."""
    flags = shlex.split("--n_iter 4 --iter_size 2 --use_mix_up --use_spec_aug --l_rate 0.01 --seed 5")
    args = build_parser().parse_args(flags)
    team = join_team(12, CPU)
    loader = FreesoundLoader(
        dataset="tiny", split="train", settings=AudioSettings(16000, 32), width=64, batch_size=12, seed=args.seed,
        device=CPU, num_folds=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = get_model("resnet18", len(loader.class_names), use_cbam=True, dropout_rate=0.0)
    engine = team.wrap(model, CPU)
    meetings = []

    def meet(_: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        meetings.append(bucket.is_last())
        return allreduce_hook(None, bucket)

    if team.size > 1:
        engine.register_comm_hook(None, meet)
    optimizer = get_optimizer("sgd", model, args.l_rate, args.momentum, args.weight_decay)
    losses = []
    for step in (1, 2):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        criterion = get_loss("bce+lovasz")
        precise = torch.float32, LossScaler(torch.float32, CPU)
        losses.append(train_step(args, step, loader, engine, optimizer, criterion, CPU, *precise, team))
    marked = nn.BatchNorm2d(1)
    marked.running_mean.fill_(team.rank)
    team.align(marked)
    aligned = team.any(int(marked.running_mean.item())) == 0
    held_out = loader.held_out
    scores = team.rows(len(held_out), 4, lambda rows: predict(model, held_out.select(rows), 64, 12, CPU))
    stop = team.any(7 if team.rank == team.size - 1 else 0)
    if team.rank == 0:
        state = {"model": model.state_dict(), "losses": torch.stack(losses), "scores": torch.from_numpy(scores)}
        torch.save(state | {"stop": stop, "size": team.size, "meetings": sum(meetings), "aligned": aligned}, output)


if __name__ == "__main__":
    main(sys.argv[1])
