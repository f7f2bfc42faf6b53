"""Checkpoints: everything that a run needs to go on exactly where it stopped, and nothing that can run code."""

import glob
import io
import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import get_model
from predicting.presence import Presence
from predicting.runs import is_named_after, last_of, parse_name, run_name
from utils.atomic import atomic_write
from utils.cli import HERTZ, SEEDS
from utils.digests import ALL_LABELS, changes
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
    "order": dict,  # file names of each training subset, in the order of its table
    "made_from": dict,  # digests of the data, by what they are of
    "prior": torch.Tensor,  # (C,) share of each class in the training targets
    "presence": dict,  # see predicting.presence; empty in `last`, and in checkpoints of before there was such
    "versions": dict,
}
BOUNDS = {  # of whole numbers that the network and its input are rebuilt from: a stranger's may ask for all memory
    "img_rows": range(1, 10_000),
    "img_cols": range(1, 360_001),  # an hour
    "sampling_rate": HERTZ,
    "fold_num": range(10_000),
    "num_folds": range(1, 10_001),  # 1: a published validation split
    "seed": SEEDS,
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
    if Path(path).exists() or not path.endswith("-.pth"):
        return path
    meant = glob.glob(f"{glob.escape(path.removesuffix('.pth'))}[0-9]*_model.pth")
    if len(meant) != 1:
        return path
    print(f"{path} is not there, taking {meant[0]}: in bash, write ${{i}}-${{k}}_model.pth", file=sys.stderr)
    return meant[0]


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read and check a checkpoint, onto the CPU; never runs code that it may hold.  Raises UserError."""
    with faults_in_one_line(path), warnings.catch_warnings(action="ignore"):  # torch warns of a bare pickle
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
                    raise ValueError("it is compressed")  # torch's are not; a kilobyte may unpack into gigabytes
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_state(state)
    return state


def load_trained(path: str | Path) -> dict[str, Any]:
    """A checkpoint to predict with, without its optimizer, half of its size.

    Raises UserError as load_checkpoint and check_best do.
    """
    state = load_checkpoint(path) | {"optimizer": {}}
    check_best(path, state)
    return state


def check_best(path: str | Path, state: dict[str, Any]) -> None:
    """Raises UserError on a `best` checkpoint other than the one that its run's `last`, beside it, speaks of."""
    last = last_of(path)
    if last and (odd := differs_from_best(state, load_checkpoint(last))):
        remedy = f"move it away, then python train.py --resume {last} writes its own; to use it, move {last.name} away"
        raise UserError(f"{path} is not the best checkpoint of the run of {last.name}: {odd}; {remedy}")


def differs_from_best(best: dict[str, Any], last: dict[str, Any]) -> str:
    """How a checkpoint differs from the best one that a later one of its run speaks of; "" where it does not."""
    if odd := changes(best["args"], last["args"]):
        return f"{odd[0]} {best['args'][odd[0]]} and {last['args'][odd[0]]}"
    if odd := changes(best["made_from"], last["made_from"]):
        return f"{odd[0]} changed"
    return f"step {best['step']} and {last['best_step']}" if best["step"] != last["best_step"] else ""


@contextmanager
def faults_in_one_line(path: str | Path) -> Iterator[None]:
    """A UserError that names the checkpoint, whatever exception it causes."""
    try:
        yield
    except FileNotFoundError:
        last = last_of(path)
        remedy = f"python train.py --resume {last} brings it back" if last else "train.py writes them"
        raise UserError(f"there is no checkpoint {path}; {remedy}") from None
    except Exception as error:  # a broken or hostile file can fail in any way
        code = isinstance(error, pickle.UnpicklingError)
        reason = "it may hold code, and was not loaded" if code else one_line(" ".join(str(error).split()), 200)
        raise UserError(f"{path} is damaged or not a checkpoint of train.py: {reason}") from None


def check_state(state: Any) -> None:
    """Raises an exception, of any kind, where the network, its input or the run could not be rebuilt from a state."""
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ValueError(f"it holds format {found}, and this version reads format {FORMAT}")
    state.setdefault("presence", {})  # checkpoints of before there was such
    state.setdefault("order", {})
    args, names, log = (state.get(key) for key in ("args", "class_names", "log"))
    if odd := [key for key, kind in KEYS.items() if not isinstance(state.get(key), kind)]:
        raise ValueError(f"it lacks a valid {odd[0]}")
    if odd := [key for key, bounds in BOUNDS.items() if type(args[key]) is not int or args[key] not in bounds]:
        raise ValueError(f"{odd[0]} is {args[odd[0]]!r}")
    json.dumps([args, log, state["made_from"]])  # TypeError on a tensor, say
    clips = sum(state["order"].values(), state["held_out"])
    "".join([*args, args["arch"], args["dataset"], args["loss"], *names, *clips])  # TypeError on no string
    logged = {record["step"] for record in log if set(record["per_class"]) <= set(names)}
    whole = (
        args["fold_num"] < args["num_folds"]
        and isinstance(args["use_cbam"], bool)
        and 0 <= args["shift_share"] <= 1
        and len(set(names)) == len(names)
        and state["prior"].shape == (len(names),)
        and set(state["presence"]) in (set(), set(Presence._fields))
        and all(each.isfinite().all() and each.numel() in (1, len(names)) for each in state["presence"].values())
        and 0 <= state["step"] <= len(state["losses"])
        and state["best_step"] in (logged or {0})
    )
    if not whole:
        raise ValueError("its values contradict each other")


def load_weights(model: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Fill a network; every weight must be there, none left over, all shapes right, all finite.  Raises UserError."""
    with faults_in_one_line(path):
        model.load_state_dict(state["model"])
        if bad := [name for name, weight in model.state_dict().items() if not weight.isfinite().all()]:
            raise ValueError(f"{bad[0]} has values that are not finite")


def build_network(path: str | Path, state: dict[str, Any]) -> nn.Module:
    """The network that a checkpoint describes, with its weights, ready to predict.  Raises UserError."""
    with faults_in_one_line(path):
        model = get_model(state["args"]["arch"], len(state["class_names"]), use_cbam=state["args"]["use_cbam"])
    load_weights(model, state, path)
    return model.eval()


def find_runs(folder: str | Path, **wanted: Any) -> dict[str, dict[Path, dict[str, Any]]]:
    """The best checkpoints in a folder whose arguments are as wanted, without their optimizers: by run, by path.

    One line on stderr names what was left out: copies, and what is of other runs.  Raises UserError as load_trained.
    """
    runs: dict[str, dict[Path, dict[str, Any]]] = {}
    left_out = []
    for path in sorted(Path(folder).glob("*.pth")):
        name = parse_name(path)
        if name and name.kind == "last":
            continue
        state = load_checkpoint(path) | {"optimizer": {}} if name else None  # half of its size
        if state and is_named_after(path, state["args"]) and not changes(wanted, state["args"]):
            check_best(path, state)
            runs.setdefault(run_name(state["args"]), {})[path] = state
        else:
            left_out.append(path.name)
    if left_out:
        print(f"{folder}: left out {', '.join(left_out)}, which are copies or of other runs", file=sys.stderr)
    return runs


def args_of(states: dict[Path, dict[str, Any]]) -> dict[Path, dict[str, Any]]:
    """The arguments of checkpoints, and what labels they were trained on: what the folds of a run have in common."""
    return {path: state["args"] | {"labels": state["made_from"].get(ALL_LABELS, "")} for path, state in states.items()}
