"""Where to compute and how exactly."""

import argparse
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import DistError

from utils.errors import MisuseError, UserError, one_line

USE_CUDA = "use_cuda"  # a value of --device that only --use_cuda gives
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", *DTYPES)
PRECISION_HELP = "auto: bf16 where the device multiplies it, else fp16 on a GPU, fp32 on a CPU"


def add_device_flags(group: argparse._ArgumentGroup, precision: str = PRECISION_HELP) -> None:
    """Add --device, --use_cuda and --no-use_cuda, which set it too, and --precision with this help."""
    group.add_argument("--device", default="auto", choices=DEVICES, help="auto: a GPU if there is one")
    synonym = {"dest": "device", "action": "store_const"}
    group.add_argument("--use_cuda", const=USE_CUDA, help="a GPU, or the CPU if there is none", **synonym)
    group.add_argument("--no-use_cuda", const="cpu", help="the CPU, as --device cpu", **synonym)
    group.add_argument("--precision", default="auto", choices=PRECISIONS, help=precision)


def pick_device(name: str) -> torch.device:
    """auto: a GPU if there is one; use_cuda: the same, but a line says so where there is none.

    Raises MisuseError where cuda is asked for and absent.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise MisuseError("--device cuda: there is no usable GPU here; leave the flag out to use the CPU")
    if name == USE_CUDA and not there:
        print("--use_cuda: there is no usable GPU here; using the CPU", file=sys.stderr)
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def pick_precision(name: str, device: torch.device, *archs: str, resumed: dict[str, Any] | None = None) -> torch.dtype:
    """The dtype of convolutions and matrix products.

    auto: as PRECISION_HELP says, but on a CPU bf16 is for ResNets alone, since others gain nothing.  archs: of the
    networks to run.  resumed: a checkpoint, whose precision auto keeps where this device multiplies it.
    Raises MisuseError where fp16 is asked of a CPU.
    """
    on_gpu, fast = device.type == "cuda", multiplies_bf16(device)
    if name == "fp16" and not on_gpu:
        raise MisuseError("--precision fp16: only GPUs train in it; leave the flag out, or give fp32 or bf16")
    if name == "bf16" and not fast:
        print("--precision bf16: this device does not multiply it but emulates it, which is slow", file=sys.stderr)
    if name == "auto":
        gains = on_gpu or all(arch.startswith("resnet") for arch in archs)
        name = ("bf16" if gains else "fp32") if fast else ("fp16" if on_gpu else "fp32")
        before = resumed["precision"] if resumed else ""
        name = before if {"fp32": True, "bf16": fast, "fp16": on_gpu}.get(before) else name
    return DTYPES[name]


def precision_name(dtype: torch.dtype) -> str:
    """What --precision calls a dtype."""
    return next(name for name, each in DTYPES.items() if each == dtype)


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Convolutions and matrix products in this precision."""
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16; elsewhere torch emulates them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
    return False


def set_up_device(device: torch.device, deterministic: bool = False, same_shapes: bool = True) -> None:
    """Let a GPU use its fastest algorithms, and TF32 for fp32; or, deterministic, what gives the same bits each time.

    same_shapes: whether (nearly) all batches have one shape, so that trying algorithms once pays.
    """
    if device.type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = same_shapes and not deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.set_float32_matmul_precision("highest" if deterministic else "high")
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


@contextmanager
def torch_errors_in_one_line() -> Iterator[None]:
    """A UserError where a GPU lacks memory or a deterministic algorithm, a norm sees a single value, a process died."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        text = one_line(str(error).partition(". ")[0])
        raise UserError(f"{text}; give a smaller --batch_size (and train with more --iter_size)") from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(f"{error}; give a larger --batch_size or --img_cols") from None
    except RuntimeError as error:
        if "does not have a deterministic implementation" in str(error):
            raise UserError(f"--deterministic: {one_line(str(error).partition(',')[0])} on this device") from None
        if isinstance(error, DistError) or any(word in str(error) for word in ("gloo", "NCCL", "Gloo")):
            text = "another process of this training has ended, so this one stops"
            raise UserError(f"{text}; --resume goes on from the last save") from None
        raise


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor of the host to a device without waiting; one that is there stays as it is."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks.  By default it maps large ones anew in every step, and pages fault in one by one.

    Without it, steps of 32 crops 64 x 128 on one core take 5 % longer (ResNet18 + CBAM), 10 % or more (MobileNetV3).
    """
    m_trim_threshold, m_mmap_max = -1, -4
    with suppress(OSError, AttributeError):  # another libc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_trim_threshold, -1)  # never
        libc.mallopt(m_mmap_max, 0)
