"""Checkpoints -> networks whose probabilities are averaged, as merge.py averages those of folds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from loaders.clips import Clips
from loaders.pcen import AudioSettings, audio_settings
from models.fused_norms import fold_norms
from predicting.checkpoint import args_of, build_network, find_runs, load_trained
from predicting.runs import check_alike, check_folds
from predicting.tta import predict, shift_of
from utils.devices import pick_precision
from utils.digests import tensors_digest
from utils.errors import MisuseError, UserError

OLD = 0.5  # the threshold where checkpoints hold none
SAME = ("sampling_rate", "img_rows", "img_cols")  # what networks that take the same crops have in common


@dataclass(frozen=True)
class Ensemble:
    """Networks that take the same crops."""

    members: list[tuple[nn.Module, list[int], dict[str, Any]]]  # its column of each class; predict's shift and loss
    class_names: list[str]
    settings: AudioSettings
    width: int  # frames of a crop
    device: torch.device
    precision: torch.dtype
    thresholds: np.ndarray | None = None  # (C,) scores that mean presence; None where checkpoints have none

    def predict(
        self, features: list[np.ndarray], batch_size: int, tta: int | None, width: int | None = None
    ) -> np.ndarray:
        """Mean over networks of the mean probability over a clip's crops: (N, C) float32.

        features: of N clips, each (frames, n_mels) float16.  tta: see crop_starts.  width: frames of a crop; without
        it as many as in training.
        """
        lengths, none = np.array([len(clip) for clip in features]), np.zeros(len(features), int)
        packs = (torch.from_numpy(np.concatenate(features)),)
        clips = Clips([""] * len(features), packs, none, np.cumsum(lengths) - lengths, lengths, none.astype(str))
        tables = []
        for model, columns, how in self.members:
            table = predict(model, clips, width or self.width, batch_size, self.device, tta, self.precision, **how)
            tables.append(table[:, columns])
        return np.stack(tables).mean(axis=0, dtype=np.float64).astype(np.float32)

    def least(self, threshold: float | None) -> np.ndarray:
        """The scores (C,) that mean presence: `threshold` for all, or without one those that the checkpoints hold."""
        if threshold is None and self.thresholds is not None:
            return self.thresholds
        if threshold is None:
            print(f"the checkpoints hold no thresholds, so {OLD} is taken; --threshold sets another", file=sys.stderr)
        return np.full(len(self.class_names), OLD if threshold is None else threshold, np.float32)


def read_checkpoints(paths: Sequence[str | Path] | None, folder: str | Path = "checkpoints") -> dict[Path, Any]:
    """Whole checkpoints by path; without paths, the best of each fold of the one run that the folder holds."""
    if paths:
        states, seen = {Path(path): load_trained(path) for path in paths}, {}
        for path in map(Path, paths):
            if (first := seen.setdefault(tensors_digest(path) or path, path)) is not path:
                raise MisuseError(f"--model_path names one network twice: {first} and {path}; leave one out")
        return states
    runs = find_runs(folder)
    if len(runs) != 1:
        held = "no best checkpoint" if not runs else f"the best checkpoints of {len(runs)} runs"
        raise MisuseError(f"{folder} holds {held}; say with --model_path which checkpoints to use")
    ((run, states),) = runs.items()
    check_folds(run, args_of(states), "", allow_missing=True)
    return states


def build_ensemble(states: dict[Path, Any], device: torch.device, precision: str = "fp32") -> Ensemble:
    """The networks of checkpoints on a device.  Raises UserError where they do not go together.

    precision: a name of utils.devices.PRECISIONS.
    """
    check_alike({path: {name: state["args"][name] for name in SAME} for path, state in states.items()})
    first_path, first = next(iter(states.items()))
    names, args, members, thresholds = first["class_names"], first["args"], [], []
    for path, state in states.items():
        if odd := sorted(set(state["class_names"]) ^ set(names)):
            raise UserError(f"{path} was trained on other classes than {first_path}: see {odd[0]}")
        model = fold_norms(build_network(path, state)).to(device, memory_format=torch.channels_last)
        columns = [state["class_names"].index(name) for name in names]
        if state["presence"]:
            thresholds.append(state["presence"]["thresholds"].numpy()[columns])
        members.append((model, columns, {"shift": shift_of(state["args"]), "loss": state["args"]["loss"]}))
    dtype = pick_precision(precision, device, *(state["args"]["arch"] for state in states.values()))
    stored = np.mean(thresholds, axis=0) if len(thresholds) == len(members) else None
    return Ensemble(members, names, audio_settings(args), args["img_cols"], device, dtype, stored)
