"""ONNX: the exported network gives the probabilities that PyTorch gives, for batches and crops of any size."""

import json
import sys

import numpy as np
import pytest
import torch

from losses import get_activation
from models import get_model
from tagging.onnx_export import export_onnx
from utils.errors import UserError

CLASSES = ["Bark", "Hum", "größe", 'say "hi"']


def checkpoint(arch: str, use_cbam: bool, loss: str = "bce+lovasz") -> tuple[torch.nn.Module, dict]:
    """A network whose every weight matters, and the part of its checkpoint that an export needs."""
    torch.manual_seed(0)
    model = get_model(arch, len(CLASSES), use_cbam=use_cbam)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    model.train()
    for _ in range(4):
        model(torch.rand(8, 1, 32, 64))
    args = {"arch": arch, "use_cbam": use_cbam, "loss": loss, "img_rows": 32, "img_cols": 64, "sampling_rate": 16000}
    return model.eval(), {"args": args, "class_names": CLASSES, "model": model.state_dict()}


@pytest.mark.parametrize(
    ("arch", "use_cbam", "loss"), [("resnet18", True, "ce"), ("mobilenet_v3_small", False, "bce+lovasz")]
)
def test_onnxruntime_gives_the_probabilities_that_torch_gives(tmp_path, arch, use_cbam, loss):
    pytest.importorskip("onnxscript", reason="torch exports with it: pip install -r requirements-dev.txt")
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -r requirements-dev.txt")
    model, state = checkpoint(arch, use_cbam, loss)
    export_onnx(tmp_path / "model.onnx", tmp_path / "model.pth", state)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    spread = []
    for batch, frames in (1, 64), (5, 64), (2, 201), (1, 40):
        crops = torch.rand(batch, 1, 32, frames)
        made = session.run(["probabilities"], {"crops": crops.numpy()})[0]
        with torch.inference_mode():
            expected = get_activation(loss)(model(crops)).numpy()
        np.testing.assert_allclose(made, expected, rtol=0, atol=1e-4)
        spread.append(expected[0])
    assert np.ptp(spread, axis=0).max() > 0.01
    held = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert (held["class_names"], held["frames"]) == (CLASSES, 64)
    assert (held["audio_settings"]["sampling_rate"], held["audio_settings"]["n_mels"]) == (16000, 32)


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="needs onnx: pip install onnx onnxscript"):
        export_onnx(tmp_path / "model.onnx", tmp_path / "model.pth", {})
