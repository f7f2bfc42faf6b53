"""Every path with tensors that claim to be on a GPU, on a machine without one: what mixes devices fails here.

Under FakeTensorMode operators reckon shapes, dtypes and devices, and no values.  What needs a driver is stood in for:
pinned memory, streams, the backward pass and the fused optimizers.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from models import get_model
from predicting.tta import predict
from tagging.ensemble import Ensemble
from tests.conftest import SETTINGS, WIDTH

CUDA = torch.device("cuda")
PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 80 GB that computes nothing."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (80 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.amp.autocast_mode, "amp_definitely_not_available", lambda: False, raising=False)
    monkeypatch.setattr("torch.amp.grad_scaler.GradScaler.update", lambda _: None)
    monkeypatch.setattr("torch.amp.grad_scaler.GradScaler.step", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "numpy", on_the_host)
    monkeypatch.setattr(FakeTensorMode, "__deepcopy__", lambda mode, _: mode, raising=False)
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)  # fake weights cannot be moved
    with FakeTensorMode():
        yield


def on_the_host(tensor: torch.Tensor) -> np.ndarray:
    assert tensor.device.type == "cpu"
    return np.zeros(tuple(tensor.shape), np.float32)


def network(arch: str = "resnet18") -> nn.Module:
    with CUDA:
        return get_model(arch, 4, use_cbam=arch.startswith("resnet"))


@pytest.fixture
def step(gpu, make_training, module_of, monkeypatch):
    """Take train.py's step on that GPU; the losses whose gradients it asks for.  Keywords: train.py's arguments."""

    def take(precision: torch.dtype = torch.float32, spoil=lambda training: training, **changes: object) -> list:
        asked = []
        flags = {"use_mix_up": True, "use_spec_aug": True, "use_cbam": True, "gamma_fl": 1.0} | changes
        monkeypatch.setattr("training.setup.build_model", lambda args, n: network(args.arch))
        training = make_training("cuda", precision, **flags)

        def backward(loss: torch.Tensor) -> None:
            asked.append(loss)
            for p in training.model.parameters():
                p.grad = torch.zeros_like(p)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        monkeypatch.setattr(training.optimizer, "step", lambda: None)
        assert module_of("train.py").train_step(spoil(training), 0).device.type == "cuda"
        return asked

    return take


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_a_training_step_up_to_its_loss(step, precision, arch):
    for loss in step(precision, iter_size=2, arch=arch, use_cbam=arch == "resnet18"):
        assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)


def test_a_step_on_features_that_are_too_large_for_the_gpu(step, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1, 80 << 30))
    step(torch.bfloat16)


def test_targets_left_on_the_host_would_be_noticed(step):
    def spoil(training):
        return replace(training, batches=lambda number: (training.batches(number)[0], torch.zeros(4, 4)))

    with pytest.raises(RuntimeError, match="device"):
        step(spoil=spoil)


@pytest.mark.parametrize("memory", [80 << 30, 1])
def test_validation(gpu, make_fold, monkeypatch, memory):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory, 80 << 30))
    held_out = make_fold("cuda").held_out
    assert held_out.packs[0].device.type == ("cuda" if memory > 1 else "cpu")
    assert predict(network(), held_out, WIDTH, 4, CUDA, precision=torch.bfloat16).shape == (len(held_out), 4)


@pytest.mark.parametrize("tta", [0, 8, "shared"])
def test_the_prediction_of_test_py(gpu, make_fold, tta):
    clips = make_fold().held_out.to(CUDA)
    made = predict(network(), clips, WIDTH, 4, CUDA, tta=tta, precision=torch.float16, shift=0.1)
    assert made.shape == (len(clips), 4)


def test_the_ensemble_of_tag_py(gpu):
    clips = [np.zeros((n, SETTINGS.n_mels), np.float16) for n in (20, 64, 100)]
    members = [(network(), [0, 1, 2, 3], {"shift": 0.0, "loss": "bce+lovasz"})]
    members += [(network("mobilenet_v3_small"), [3, 2, 1, 0], {"shift": 0.1, "loss": "ce"})]
    ensemble = Ensemble(members, list("abcd"), SETTINGS, WIDTH, CUDA, torch.bfloat16)
    assert ensemble.predict(clips, 3, tta=3).shape == (len(clips), 4)
