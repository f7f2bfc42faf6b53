"""Checkpoints: everything that a run needs to go on exactly where it stopped, and nothing that can run code."""

import argparse
import glob
import io
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
from predicting.runs import LATER_ARGS, run_name
from utils.atomic import atomic_write
from utils.cli import HERTZ, SEEDS
from utils.errors import UserError, one_line

FORMAT = 4
GONE_ARGS = {  # what older runs could have, and the value under which a run did without it
    "last_stride": 2,
    "pooling": "mean",
    "use_coordinate": False,
    "use_resized_crop": False,
    "use_equalizer": False,
    "label_smoothing": 0.0,
    "ema_decay": 0.0,
}
ADDED_ARGS = {"mask_share": 0.4}  # what format 3 did without: its masks were twice as wide
ADDED_KEYS = {"precision": "", "scaler": {}, "skipped_steps": 0}  # what was added since: unknown, and none
KEYS = {
    "format": int,
    "args": dict,  # the command line, defaults filled in
    "class_names": list,
    "step": int,  # optimizer steps done
    "best_score": float,
    "best_step": int,
    "model": dict,
    "optimizer": dict,
    "precision": str,  # what --precision auto came to: fp32, bf16 or fp16; empty where that was not written down
    "scaler": dict,  # of the loss, in fp16; empty elsewhere
    "skipped_steps": int,  # in fp16, for gradients too large
    "generators": dict,  # torch's own, which dropout draws from; all others derive from seed, fold and step
    "losses": torch.Tensor,  # (n_iter,) of each step, NaN where not yet done
    "log": list,  # the records of the JSON-lines log
    "held_out": list,  # file names of the fold's validation clips
    "made_from": dict,  # digests of the data, by what they are of; empty in format 3, which does not tell
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
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of in a bare pickle is refused below
            state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}; train.py writes them") from None
    except pickle.UnpicklingError:
        raise UserError(f"{path} is not a checkpoint of train.py, or holds code; it was not loaded") from None
    except UserError:
        raise
    except Exception as error:  # a broken file can make the reader fail in any way
        text = one_line(str(error).partition("\n")[0] or type(error).__name__, 120)
        raise UserError(f"{path} is damaged or not a checkpoint: {text}") from None
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise UserError(f"{path} is not a checkpoint of train.py")
    if state["format"] > FORMAT:
        raise UserError(f"{path} has format {state['format']}; this version reads up to {FORMAT}; update the code")
    if state["format"] >= FORMAT - 1 and isinstance(state.get("args"), dict):
        state["args"] = _without_gone_args(path, state["args"])
    if state["format"] == FORMAT - 1 and isinstance(state.get("args"), dict):
        state |= {"args": _from_format_3(state["args"]), "made_from": {}}
    elif state["format"] < FORMAT:
        raise UserError(f"{path} has format {state['format']}, which is too old for this version; train anew")
    state = ADDED_KEYS | state
    if isinstance(state.get("args"), dict):
        state["args"] = LATER_ARGS | state["args"]
    wrong = [key for key, kind in KEYS.items() if key not in state or not isinstance(state[key], kind)]
    if wrong := wrong or _wrong_args(state["args"]) or _wrong_state(state):
        raise UserError(f"{path} lacks a valid {wrong[0]}; it is not a whole checkpoint of train.py")
    return state


def _without_gone_args(path: str | Path, args: dict[str, Any]) -> dict[str, Any]:
    for name, without in GONE_ARGS.items():
        value = args.get(name, without)
        if type(value) is not type(without) or value != without:
            raise UserError(f"{path} was trained with --{name}, which this version no longer has; use the older one")
    return {name: value for name, value in args.items() if name not in GONE_ARGS}


def _from_format_3(args: dict[str, Any]) -> dict[str, Any]:
    if args.get("compile") is False:
        args = args | {"compile": None}  # nobody asked for it; to refuse it was not possible then
    return ADDED_ARGS | args


def _refuse_compressed(path: str | Path) -> None:
    """torch never compresses what it saves; a compressed file may unpack a kilobyte into gigabytes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
                raise UserError(f"{path} is not a checkpoint of train.py: it is compressed")


def _wrong_args(args: dict[str, Any]) -> list[str]:
    def fits(value: Any, kind: type | range) -> bool:
        return type(value) is int and value in kind if isinstance(kind, range) else type(value) is kind

    wrong = [f"args {key}" for key, kind in ARGS.items() if not fits(args.get(key), kind)]
    if wrong:
        return wrong
    flaws = {"fold_num": args["fold_num"] >= args["num_folds"], "shift_share": not 0 <= args["shift_share"] <= 1}
    return [f"args {key}" for key, flawed in flaws.items() if flawed]


def _wrong_state(state: dict[str, Any]) -> list[str]:
    """Contradictions in a checkpoint whose parts have the right types."""
    names, log, losses = state["class_names"], state["log"], state["losses"]
    if not all(isinstance(name, str) for name in names + state["held_out"]):
        return ["list of names"]
    logged = [record.get("step") for record in log if isinstance(record, dict) and "per_class" in record]
    flaws = {
        "class_names": len(set(names)) < max(len(names), 1),
        "prior": state["prior"].shape != (len(names),) or not state["prior"].isfinite().all(),
        "losses": losses.ndim != 1 or not losses[: max(state["step"], 0)].isfinite().all(),
        "step": not 0 <= state["step"] <= losses.numel(),
        "best_score": not -1 <= state["best_score"] <= 1,
        "log": len(logged) < len(log) or not _rising(logged, state["step"]),
        "best_step": state["best_step"] not in [*logged, 0][: max(len(logged), 1)],
        "generators": not isinstance(state["generators"].get("cpu"), torch.Tensor),
        "precision": state["precision"] not in ("", "fp32", "bf16", "fp16"),
    }
    return [key for key, flawed in flaws.items() if flawed]


def _rising(steps: list[Any], last: int) -> bool:
    return all(type(step) is int and 0 <= step <= last for step in steps) and steps == sorted(set(steps))


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
    problems += [
        f"has {name} with values that are not finite" for name in own if not problems and not _finite(weights[name])
    ]
    if problems:
        raise UserError(f"{path} does not fit the network that its arguments describe: it {problems[0]}")
    model.load_state_dict(weights)


def _finite(weight: torch.Tensor) -> bool:
    return bool(weight.isfinite().all())


def build_network(path: str | Path, state: dict[str, Any]) -> nn.Module:
    """The network that a checkpoint describes, with its weights, ready to predict.  Raises UserError."""
    args = state["args"]
    try:
        model = get_model(args["arch"], len(state["class_names"]), use_cbam=args["use_cbam"])
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
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
