"""Where to compute and how exactly."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from utils.errors import MisuseError

PRECISIONS = ("auto", "fp32", "bf16")


def pick_device(name: str) -> torch.device:
    """auto: a GPU if there is one.  Raises MisuseError where cuda is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise MisuseError("--device cuda: there is no usable GPU here; leave the flag out to use the CPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_device(use_cuda: bool | None) -> torch.device:
    """What --use_cuda, --no-use_cuda or neither asks for; where there is no GPU, the CPU, and a line that says so."""
    if use_cuda and not torch.cuda.is_available():
        print("--use_cuda: there is no usable GPU here; using the CPU", file=sys.stderr)
    return pick_device("cpu" if use_cuda is False else "auto")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of convolutions and matrix products.  auto: bf16 on a GPU, fp32 on the CPU."""
    if name == "auto":
        name = "bf16" if device.type == "cuda" else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def set_determinism(deterministic: bool) -> None:
    """Let a GPU choose its fastest algorithms, or only those that give the same bits each time.  A CPU always does."""
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor of the host to a device without waiting for it; one that is there stays as it is."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks, on huge pages, so that a step on the CPU reuses the pages of the step before.

    By default each large block is mapped anew and page-faulted in, 4 KiB at a time.  Here large blocks come from one
    heap, whose addresses are taken beforehand, without memory behind them, for huge pages to be asked for; where there
    is no room for that, pages stay small.  Where there is no glibc, nothing happens.
    """
    m_trim_threshold, m_mmap_max, madv_hugepage, huge_page = -1, -4, 14, 1 << 21
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_trim_threshold, -1)  # never
        libc.mallopt(m_mmap_max, 0)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.free.argtypes = [ctypes.c_void_p]
        size = address_room()
        if size and (heap := libc.malloc(size)):
            start = -(-heap // huge_page) * huge_page
            libc.madvise(start, (heap + size - start) // huge_page * huge_page, madv_hugepage)
            libc.free(heap)


def address_room() -> int:
    """Bytes as many as half the memory, but 16 GiB at most; 0 where addresses are limited or counted as memory."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # not everywhere

        limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        counted = Path("/proc/sys/vm/overcommit_memory").read_text(encoding="utf-8").strip() == "2"
        if not limited and not counted:
            return min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2, 16 << 30)
    return 0
