"""Where to compute and how exactly."""

import os
import platform
import sys
from pathlib import Path

import pytest
import torch

from utils import devices
from utils.devices import pick_device, pick_precision
from utils.errors import MisuseError, UserError

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


NET, SMALL = "resnet18", "mobilenet_v3_small"


@pytest.mark.parametrize(
    ("name", "device", "fast", "archs", "dtype", "why"),
    [("auto", CUDA, True, [SMALL], torch.bfloat16, "bf16: this GPU multiplies it"),
     ("auto", CUDA, False, [NET], torch.float16, "fp16: this GPU does not multiply bf16"),
     ("auto", CPU, True, [NET, NET], torch.bfloat16, "bf16: this processor multiplies it"),
     ("auto", CPU, True, [NET, SMALL], torch.float32, "fp32: on a processor only ResNets gain from bf16"),
     ("auto", CPU, False, [NET], torch.float32, "fp32: this processor does not multiply bf16"),
     ("fp32", CUDA, True, [NET], torch.float32, "fp32, as asked for"),
     ("fp16", CUDA, True, [NET], torch.float16, "fp16, as asked for"),
     ("bf16", CPU, True, [SMALL], torch.bfloat16, "bf16, as asked for")],
)  # fmt: skip
def test_precision_is_what_the_device_multiplies_fastest_unless_told_otherwise(
    monkeypatch, capsys, name, device, fast, archs, dtype, why
):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: fast)
    assert pick_precision(name, device, *archs) == (dtype, f"precision {why}")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("before", "device", "fast", "dtype"),
    [("bf16", CUDA, True, torch.bfloat16), ("bf16", CUDA, False, torch.float16), ("fp16", CPU, True, torch.bfloat16),
     ("fp32", CUDA, True, torch.float32), ("fp32", CPU, True, torch.float32)],
)  # fmt: skip
def test_a_resumed_run_keeps_its_precision_where_the_device_multiplies_it(monkeypatch, before, device, fast, dtype):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: fast)
    assert pick_precision("auto", device, NET, resumed={"precision": before})[0] == dtype


@pytest.mark.parametrize(("device", "what"), [(CPU, "processor"), (CUDA, "GPU")])
def test_emulated_bf16_is_allowed_and_said_so(monkeypatch, capsys, device, what):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: False)
    assert pick_precision("bf16", device, NET)[0] == torch.bfloat16
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--precision bf16: this {what} does not multiply it" in said


def test_fp16_is_for_gpus():
    with pytest.raises(MisuseError, match="--precision fp16: only GPUs"):
        pick_precision("fp16", CPU, NET)


def test_a_gpu_is_asked_what_it_multiplies_without_emulation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not devices.multiplies_bf16(CUDA)


@pytest.mark.parametrize(
    ("flags", "fast"), [("avx2 avx512f", False), ("avx512_bf16 x", True), ("amx_bf16 amx_tile", True)]
)
def test_a_processor_is_known_by_its_flags(monkeypatch, flags, fast):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"model name : x\nflags\t: fpu {flags}\n")
    assert devices.multiplies_bf16(CPU) is fast


@pytest.fixture
def backends():
    """What a test sets for the whole process is as before after it."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before[:2]
    torch.set_float32_matmul_precision(before[2])
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("how", "tries", "tf32"),
    [({}, True, True), ({"same_shapes": False}, False, True), ({"deterministic": True}, False, False)],
)
def test_a_gpu_tries_algorithms_where_shapes_stay_and_rounds_where_bits_may_differ(backends, how, tries, tf32):
    devices.set_up_device(CUDA, **how)
    assert torch.backends.cudnn.benchmark is tries
    assert torch.backends.cudnn.allow_tf32 is tf32
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    assert torch.are_deterministic_algorithms_enabled() is ("deterministic" in how)


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_the_allocator_is_set_up_for_work_on_the_cpu_alone(monkeypatch, backends, device):
    calls = []
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: calls.append(1))
    devices.set_up_device(device)
    assert calls == [1] * (device == CPU)


@pytest.mark.parametrize(
    ("error", "word"),
    [(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), "smaller --batch_size"),
     (RuntimeError("x_cuda does not have a deterministic implementation, but you set"), "--deterministic: x_cuda")],
)  # fmt: skip
def test_what_a_gpu_refuses_is_one_line(error, word):
    with pytest.raises(UserError, match=word), devices.gpu_errors_in_one_line():
        raise error


def test_other_errors_than_those_of_a_gpu_are_left_alone():
    with pytest.raises(RuntimeError, match="shape"), devices.gpu_errors_in_one_line():
        raise RuntimeError("shape mismatch")


BLOCKS = """
import resource, sys
import torch
from utils.devices import keep_freed_memory

def faults() -> int:
    block = torch.ones(30_000_000)  # 120 MB, past any threshold of glibc's by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
counts = [faults() for _ in range(30)]
print(counts[-1] - counts[-6])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_is_used_again(process, request, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("LD_PRELOAD", "MALLOC_", "GLIBC_")):  # another allocator, or one set up otherwise
            monkeypatch.delenv(name)
    kept, given_back = (
        int(process(request.config.rootpath, sys.executable, "-c", BLOCKS, how).out) for how in ("keep", "give back")
    )
    assert kept < 100 < given_back
