"""Checkpoints: everything that a run needs to go on exactly where it stopped, and nothing that can run code."""

import argparse
import glob
import io
import json
import pickle
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import get_model
from predicting.runs import run_name
from utils.atomic import atomic_write
from utils.cli import HERTZ, SEEDS
from utils.errors import UserError, one_line

FORMAT = 5
KEYS = {
    "args": dict,  # the command line, defaults filled in
    "class_names": list,
    "step": int,  # optimizer steps done
    "best_score": float,
    "best_step": int,
    "model": dict,
    "optimizer": dict,
    "precision": str,  # what --precision auto came to: fp32, bf16 or fp16
    "scaler": dict,  # of the loss, in fp16; empty elsewhere
    "skipped_steps": int,  # in fp16, as a gradient overflowed
    "generators": dict,  # torch's own, which dropout draws from; all others derive from seed, fold and step
    "losses": torch.Tensor,  # (n_iter,) of each step, NaN where not yet done
    "log": list,  # the records of the JSON-lines log
    "held_out": list,  # file names of the fold's validation clips
    "made_from": dict,  # digests of the data, by what they are of
    "prior": torch.Tensor,  # (C,) share of each class in the training targets
    "versions": dict,
}
ARGS = {  # what the network, its input and the names of its outputs are rebuilt from
    "arch": str,
    "dataset": str,
    "img_rows": range(1, 10_000),  # numbers with their bounds: a stranger's may ask for all memory
    "img_cols": range(1, 360_001),  # an hour
    "sampling_rate": HERTZ,
    "fold_num": range(10_000),
    "num_folds": range(1, 10_001),  # 1: a published validation split
    "seed": SEEDS,
    "use_cbam": bool,
    "loss": str,
    "shift_share": float,
}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint that is complete or absent."""
    buffer = io.BytesIO()  # torch does not report a full disk as such
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def find_checkpoint(path: str) -> str:
    """The path itself, or the one checkpoint that a loop in bash meant where it wrote $i-$k_model.pth.

    bash takes k_model for the variable's name, so the fold count and "_model" are missing: ..._0-.pth.
    """
    unfinished = Path(path)
    if unfinished.exists() or not re.search(r"_[0-9]+-\.pth$", path):
        return path
    meant = sorted(unfinished.parent.glob(f"{glob.escape(unfinished.stem)}*_model.pth"))
    if len(meant) != 1:
        return path
    print(f"{path} is not there, taking {meant[0]}: in bash, write ${{i}}-${{k}}_model.pth", file=sys.stderr)
    return str(meant[0])


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read and check a checkpoint; never runs code that it may hold.  Raises UserError."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
                    raise ValueError("it is compressed")  # torch's are not; a kilobyte may unpack into gigabytes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of in a bare pickle is refused below
            state = torch.load(path, map_location=device, weights_only=True)
        check_state(state)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train.py writes them") from None
    except pickle.UnpicklingError:
        raise damaged(path, "it may hold code, and was not loaded") from None
    except Exception as error:  # a broken file can make the reader fail in any way
        raise damaged(path, error) from None
    return state


def damaged(path: str | Path, reason: object) -> UserError:
    """The error for a file that is not what train.py wrote."""
    text = one_line(" ".join(str(reason).split()), 200)
    return UserError(f"{path} is damaged or not a checkpoint of train.py: {text}")


def check_state(state: Any) -> None:
    """Raises an exception, of any kind, if a checkpoint's content is not what train.py writes."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = f"format {state.get('format')}" if isinstance(state, dict) else "something else"
        raise ValueError(f"it holds {found}, and this version reads format {FORMAT}")
    args, names, losses, step = (state.get(key) for key in ("args", "class_names", "losses", "step"))
    for key, kind in KEYS.items():
        if not isinstance(state.get(key), kind):
            raise ValueError(f"it lacks a valid {key}")
    for key, kind in ARGS.items():
        if not (type(args[key]) is int and args[key] in kind if isinstance(kind, range) else type(args[key]) is kind):
            raise ValueError(f"{key} is {args[key]!r}")
    json.dumps([vars(checkpoint_args(state)), state["log"], state["made_from"]])  # TypeError on a tensor, say
    logged = [record["step"] for record in state["log"] if set(record["per_class"]) <= set(names)]
    whole = (
        args["fold_num"] < args["num_folds"]
        and 0 <= args["shift_share"] <= 1
        and all(isinstance(name, str) for name in names + state["held_out"])
        and 0 < len(names) == len(set(names))
        and state["prior"].shape == (len(names),)
        and state["prior"].isfinite().all()
        and 0 <= step <= len(losses)
        and losses[:step].isfinite().all()
        and len(logged) == len(state["log"])
        and all(0 < done <= step for done in logged)
        and logged == sorted(set(logged))
        and -1 <= state["best_score"] <= 1
        and state["best_step"] in (logged or [0])
        and state["precision"] in ("fp32", "bf16", "fp16")
    )
    if not whole:
        raise ValueError("its values contradict each other")


def checkpoint_args(state: dict[str, Any]) -> argparse.Namespace:
    """The arguments of the run that wrote the checkpoint."""
    return argparse.Namespace(**state["args"])


def load_weights(model: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Fill a network; every weight must be there, none left over, all shapes right, all finite.  Raises UserError."""
    try:
        model.load_state_dict(state["model"])
    except Exception as error:
        raise damaged(path, error) from None
    for name, weight in model.state_dict().items():
        if not weight.isfinite().all():
            raise damaged(path, f"{name} has values that are not finite")


def build_network(path: str | Path, state: dict[str, Any]) -> nn.Module:
    """The network that a checkpoint describes, with its weights, ready to predict.  Raises UserError."""
    args = state["args"]
    try:
        model = get_model(args["arch"], len(state["class_names"]), use_cbam=args["use_cbam"])
    except ValueError as error:
        raise damaged(path, error) from None
    load_weights(model, state, path)
    return model.eval()


def find_runs(folder: str | Path, **wanted: Any) -> dict[str, dict[Path, dict[str, Any]]]:
    """The best checkpoints in a folder whose arguments are as wanted, without their optimizers: by run, by path."""
    runs: dict[str, dict[Path, dict[str, Any]]] = {}
    for path in sorted(Path(folder).glob("*_best_*.pth")):
        state = load_checkpoint(path) | {"optimizer": {}}  # half of its size
        if all(state["args"][name] == value for name, value in wanted.items()):
            runs.setdefault(run_name(state["args"]), {})[path] = state
    return runs
