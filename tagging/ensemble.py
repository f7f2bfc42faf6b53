"""Checkpoints -> networks whose probabilities are averaged, as merge.py averages those of folds."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from loaders.clips import Clips
from loaders.pcen import AudioSettings
from models.fused_norms import fold_norms
from predicting.checkpoint import build_network, find_runs, load_checkpoint
from predicting.tta import predict, shift_of
from utils.devices import pick_precision
from utils.errors import MisuseError, UserError

CROP_SETTINGS = ("sampling_rate", "img_rows", "img_cols")  # what networks must share to hear the same crops


@dataclass(frozen=True)
class Ensemble:
    """Networks that hear the same crops, and the order in which each names the classes."""

    models: list[nn.Module]
    columns: list[list[int]]  # of each network: where it has class_names[i]
    class_names: list[str]
    settings: AudioSettings
    width: int  # frames of a crop
    device: torch.device
    precision: torch.dtype
    shifts: list[float]  # of each network: see predicting.tta.predict
    losses: list[str]  # what each network learned by

    def predict(self, clips: Clips, batch_size: int, tta: int | None) -> np.ndarray:
        """Mean over networks of the mean probability over a clip's crops: (N, C) float32.  tta: see crop_starts."""
        tables = [
            predict(
                model, clips, self.width, batch_size, self.device,
                tta=tta, precision=self.precision, shift=shift, loss=loss,
            )[:, columns]
            for model, columns, shift, loss in zip(self.models, self.columns, self.shifts, self.losses, strict=True)
        ]  # fmt: skip
        return np.stack(tables).mean(axis=0, dtype=np.float64).astype(np.float32)


def read_checkpoints(paths: Sequence[str | Path] | None, folder: str | Path = "checkpoints") -> dict[Path, Any]:
    """Whole checkpoints by path; without paths, the best of each fold of the one run that the folder holds."""
    if paths:
        if len({os.path.realpath(path) for path in paths}) < len(paths):
            raise MisuseError(f"--model_path names one of its {len(paths)} checkpoints twice")
        return {Path(path): load_checkpoint(path) | {"optimizer": {}} for path in paths}  # half of its size
    runs = find_runs(folder)
    hear = ("dataset", "img_rows", "img_cols")  # what a run's name does not tell
    kinds = {(run, *(state["args"][k] for k in hear)) for run, states in runs.items() for state in states.values()}
    if len(kinds) != 1:
        held = "no best checkpoint" if not runs else f"the best checkpoints of {len(kinds)} runs"
        raise MisuseError(f"{folder} holds {held}; say with --model_path which checkpoints to use")
    return next(iter(runs.values()))


def build_ensemble(states: dict[Path, Any], device: torch.device, precision: str = "fp32") -> Ensemble:
    """The networks of checkpoints on a device.  Raises UserError where they do not go together.

    precision: a name of utils.devices.PRECISIONS.
    """
    (first_path, first), *others = states.items()
    for path, state in others:
        for name in CROP_SETTINGS:
            if state["args"][name] != first["args"][name]:
                raise UserError(
                    f"{path} was trained with {name} {state['args'][name]}, "
                    f"{first_path} with {first['args'][name]}; an ensemble needs the same"
                )
        if odd := sorted(set(state["class_names"]) ^ set(first["class_names"])):
            raise UserError(f"{path} was trained on other classes than {first_path}: see {odd[0]}")
    names, args = first["class_names"], first["args"]
    models = [fold_norms(build_network(path, state)) for path, state in states.items()]  # once, not at each predict
    return Ensemble(
        [model.to(device, memory_format=torch.channels_last) for model in models],
        [[state["class_names"].index(name) for name in names] for state in states.values()],
        names,
        AudioSettings(args["sampling_rate"], args["img_rows"]),
        args["img_cols"],
        device,
        pick_precision(precision, device, *(state["args"]["arch"] for state in states.values()))[0],
        [shift_of(state["args"]) for state in states.values()],
        [state["args"]["loss"] for state in states.values()],
    )
