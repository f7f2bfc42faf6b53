"""Where to compute and how exactly."""

import pytest
import torch

from utils.devices import pick_device, pick_precision
from utils.errors import MisuseError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "there", "device"), [("auto", True, CUDA), ("auto", False, CPU), ("cpu", True, CPU), ("cuda", True, CUDA)]
)
def test_a_gpu_is_taken_where_there_is_one_and_nobody_forbids_it(monkeypatch, name, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device(name) == device


def test_asking_for_a_gpu_that_is_not_there_is_misuse(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MisuseError, match="--device cuda"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [("auto", CUDA, torch.bfloat16), ("auto", CPU, torch.float32), ("fp32", CUDA, torch.float32),
     ("bf16", CPU, torch.bfloat16)],
)  # fmt: skip
def test_precision_is_bf16_on_a_gpu_unless_told_otherwise(name, device, dtype):
    assert pick_precision(name, device) == dtype
