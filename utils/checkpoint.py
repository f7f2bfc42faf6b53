"""Checkpoints: everything that a run needs to go on exactly where it stopped, and nothing that can run code."""

import argparse
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.atomic import atomic_write
from utils.errors import UserError

FORMAT = 1
KEYS = {
    "format": int,
    "args": dict,  # the command line, defaults filled in
    "class_names": list,
    "step": int,  # optimizer steps done
    "best_score": float,
    "best_step": int,
    "model": dict,
    "optimizer": dict,
    "generators": dict,  # torch's own, which dropout draws from; all others derive from seed and step
    "losses": torch.Tensor,  # (n_iter,) of each step, NaN where not yet done
    "log": list,  # the records of the JSON-lines log
    "held_out": list,  # file names of the fold's validation clips
    "prior": torch.Tensor,  # (C,) share of each class in the training targets
    "versions": dict,
}
ARGS = {  # what the network, its input and the names of its outputs are rebuilt from
    "arch": str,
    "dataset": str,
    "img_rows": int,
    "img_cols": int,
    "sampling_rate": int,
    "fold_num": int,
    "num_folds": int,
    "seed": int,
    "use_cbam": bool,
}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint that is complete or absent."""
    buffer = io.BytesIO()  # torch does not report a full disk as such
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read and check a checkpoint; never runs code that it may hold.  Raises UserError."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train.py writes them") from None
    except pickle.UnpicklingError:
        raise UserError(f"{path} is not a checkpoint of train.py, or holds code; it was not loaded") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(f"{path} is damaged or not a checkpoint: {str(error).splitlines()[0][:120]}") from None
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise UserError(f"{path} is not a checkpoint of train.py")
    if state["format"] > FORMAT:
        raise UserError(f"{path} has format {state['format']}; this version reads up to {FORMAT}; update the code")
    wrong = [key for key, kind in KEYS.items() if not isinstance(state.get(key), kind)]
    wrong += [f"args {key}" for key, kind in ARGS.items() if type(state.get("args", {}).get(key)) is not kind]
    if wrong:
        raise UserError(f"{path} lacks a valid {wrong[0]}; it is not a whole checkpoint of train.py")
    return state


def checkpoint_args(state: dict[str, Any]) -> argparse.Namespace:
    """The arguments of the run that wrote the checkpoint."""
    return argparse.Namespace(**state["args"])


def load_weights(model: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Fill a network; every weight must be there, none left over, all shapes right.  Raises UserError."""
    own, weights = model.state_dict(), state["model"]
    problems = [f"lacks {name}" for name in own if name not in weights]
    problems += [f"has an unknown {name}" for name in weights if name not in own]
    problems += [
        f"has {name} of shape {tuple(getattr(weights[name], 'shape', ()))}, not {tuple(own[name].shape)}"
        for name in own
        if name in weights and getattr(weights[name], "shape", None) != own[name].shape
    ]
    if problems:
        raise UserError(f"{path} does not fit the network that its arguments describe: it {problems[0]}")
    model.load_state_dict(weights)
