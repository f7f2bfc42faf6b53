"""A network as ONNX, for whatever runs that without PyTorch."""

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from loaders.pcen import audio_settings
from losses import get_activation
from predicting.checkpoint import build_network
from utils.atomic import atomic_write
from utils.errors import UserError


def export_onnx(output: Path, path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint's network: crops (batch, 1, n_mels, frames) float32 -> probabilities (batch, classes).

    Both batch and frames may be of any size.  The metadata hold the class names in the order of the columns, what
    the crops must be made with, and how wide they were in training.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch's exporter needs
    except ImportError as error:
        raise UserError(f"--export needs {error.name}: pip install onnx onnxscript") from None
    args = state["args"]
    model = nn.Sequential(build_network(path, state), get_activation(args["loss"])).eval()
    crops = torch.zeros(2, 1, args["img_rows"], args["img_cols"])
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model, (crops,), dynamo=True, verbose=False, external_data=False,
            input_names=["crops"], output_names=["probabilities"], dynamic_shapes=({0: batch, 3: frames},),
        )  # fmt: skip
    proto = program.model_proto
    described = {
        "class_names": state["class_names"],
        "audio_settings": asdict(audio_settings(args)),
        "frames": args["img_cols"],
        "arch": args["arch"],
    }
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in described.items()})
    onnx.checker.check_model(proto)
    with atomic_write(output) as file:
        file.write(proto.SerializeToString())
