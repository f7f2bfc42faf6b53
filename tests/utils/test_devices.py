"""Where to compute and how exactly."""

import argparse
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
    ("flag", "with_gpu", "without"),
    [("--device=auto", CUDA, CPU), ("--device=cpu", CPU, CPU), ("--no-use_cuda", CPU, CPU), ("--use_cuda", CUDA, CPU)],
)
def test_a_gpu_is_taken_where_there_is_one_and_nobody_forbids_it(monkeypatch, capsys, flag, with_gpu, without):
    parser = argparse.ArgumentParser()
    devices.add_device_flags(parser)
    for there, device in (True, with_gpu), (False, without):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert pick_device(parser.parse_args([flag]).device) == device
    assert capsys.readouterr().err.count("using the CPU\n") == (flag == "--use_cuda")


def test_what_only_a_gpu_has_is_misuse_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MisuseError, match="--device cuda"):
        pick_device("cuda")
    with pytest.raises(MisuseError, match="--precision fp16: only GPUs"):
        pick_precision("fp16", CPU, NET)


NET, SMALL = "resnet18", "mobilenet_v3_small"


@pytest.mark.parametrize(
    ("name", "before", "device", "fast", "archs", "taken"),
    [("auto", "", CUDA, True, [SMALL], "bf16"), ("auto", "", CUDA, False, [NET], "fp16"),
     ("auto", "", CPU, True, [NET, NET], "bf16"), ("auto", "", CPU, True, [NET, SMALL], "fp32"),
     ("auto", "", CPU, False, [NET], "fp32"), ("auto", "bf16", CUDA, True, [NET], "bf16"),
     ("auto", "bf16", CUDA, False, [NET], "fp16"), ("auto", "fp16", CPU, True, [NET], "bf16"),
     ("auto", "fp32", CPU, True, [NET], "fp32"), ("fp32", "bf16", CUDA, True, [NET], "fp32"),
     ("fp16", "", CUDA, True, [NET], "fp16"), ("bf16", "", CPU, True, [SMALL], "bf16"),
     ("bf16", "", CPU, False, [NET], "bf16")],
)  # fmt: skip
def test_precision_is_what_was_asked_for_or_before_or_what_the_device_multiplies_fastest(
    monkeypatch, capsys, name, before, device, fast, archs, taken
):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: fast)
    assert pick_precision(name, device, *archs, resumed={"precision": before}) == devices.DTYPES[taken]
    assert ("emulates" in capsys.readouterr().err) == (name == "bf16" and not fast)


def test_a_gpu_is_asked_without_emulation_and_a_processor_is_known_by_its_flags(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not devices.multiplies_bf16(CUDA)
    for flags, fast in ("avx2 avx512f", False), ("avx512_bf16 x", True), ("amx_bf16 amx_tile", True):
        monkeypatch.setattr(Path, "read_text", lambda *_, flags=flags, **__: f"model : x\nflags\t: fpu {flags}\n")
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
    ("device", "how", "tries", "tf32"),
    [(CPU, {}, True, True), (CUDA, {"same_shapes": False}, False, True), (CUDA, {"deterministic": True}, False, False)],
)
def test_a_gpu_tries_algorithms_where_shapes_stay_and_a_processor_keeps_its_memory(
    monkeypatch, backends, device, how, tries, tf32
):
    calls = []
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: calls.append(1))
    devices.set_up_device(device, **how)
    assert calls == [1] * (device == CPU)
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == (tries, tf32)
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    assert torch.are_deterministic_algorithms_enabled() is ("deterministic" in how)


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [(torch.OutOfMemoryError("CUDA out of memory. Tried 2.00 GiB. GPU 0 has"), UserError, "smaller --batch_size"),
     (RuntimeError("x_cuda does not have a deterministic implementation, but you set"), UserError, "tic: x_cuda"),
     (torch.distributed.DistBackendError("communicator was aborted"), UserError, "another process"),
     (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), UserError, "another process"),
     (ValueError("Expected more than 1 value per channel when training"), UserError, "larger --batch_size"),
     (RuntimeError("shape mismatch"), RuntimeError, "shape"), (ValueError("a bug"), ValueError, "a bug")],
)  # fmt: skip
def test_what_a_gpu_refuses_is_one_line_and_other_errors_are_left_alone(error, kind, word):
    with pytest.raises(kind, match=word), devices.torch_errors_in_one_line():
        raise error


BLOCKS = """
import resource
import torch
from utils.devices import keep_freed_memory

def faults() -> int:
    for _ in range(5):
        torch.ones(30_000_000)  # 120 MB, past any threshold of glibc's by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

counts = [faults(), faults()]
keep_freed_memory()
kept = [faults() for _ in range(5)]
print(counts[1] - counts[0], kept[-1] - kept[-2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_memory_is_used_again(process, request, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("LD_PRELOAD", "MALLOC_", "GLIBC_")):  # another allocator, or one set up otherwise
            monkeypatch.delenv(name)
    given_back, kept = map(int, process(request.config.rootpath, sys.executable, "-c", BLOCKS).out.split())
    assert kept < 100 < given_back
