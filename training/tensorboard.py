"""--tensorboard: the figures of the log, and at each validation the batch as the network has just seen it."""

import argparse
from typing import Any

from torch import Tensor, nn
from torchvision.utils import make_grid

from predicting.runs import tensorboard_dir

MOST = 16  # inputs of a picture


class Tensorboard:
    """Follows a training run from outside: it draws no random number and changes no tensor."""

    def __init__(self, args: argparse.Namespace, model: nn.Module, step: int, log: list[dict[str, Any]]) -> None:
        """step: where the run starts.  log: the records so far, written here unless an earlier call has done so."""
        from torch.utils.tensorboard import SummaryWriter  # which not everyone has installed

        folder = tensorboard_dir(args)
        self.written = len(log) if any(folder.glob("events*")) else 0  # records
        self.writer = SummaryWriter(folder, purge_step=step + 1 if step else 0)
        self.inputs: Tensor | None = None

        def look(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:  # no method: copies of the network copy those
            if model.training:
                self.inputs = inputs[0]

        model.register_forward_pre_hook(look)
        self.after_step(log)

    def after_step(self, log: list[dict[str, Any]]) -> None:
        """Write what is new in the log, if anything is."""
        for record in log[self.written :]:
            for name in record.keys() - {"step", "per_class"}:
                self.writer.add_scalar(name, record[name], record["step"])
            for name, value in record["per_class"].items():
                self.writer.add_scalar(f"per_class/{name}", value, record["step"])
        if len(log) > self.written:
            if self.inputs is not None:
                self.writer.add_image("inputs", grid(self.inputs), log[-1]["step"])
            self.writer.flush()
        self.written = len(log)


def grid(inputs: Tensor) -> Tensor:
    """The first inputs (B, 1, n_mels, T) of a batch, low bands at the bottom: one picture (3, H, W) in [0, 1]."""
    images = inputs[:MOST].detach().float().flip(2).cpu()
    return make_grid(images, nrow=4, normalize=True, scale_each=True, pad_value=1.0)
