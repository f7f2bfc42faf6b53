"""Where to compute and how exactly."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import MisuseError, UserError, one_line

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", *DTYPES)
PRECISION_HELP = "auto: bf16 where the device multiplies it, else fp16 on a GPU, fp32 on a CPU"


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


def pick_precision(
    name: str, device: torch.device, *archs: str, resumed: dict[str, Any] | None = None
) -> tuple[torch.dtype, str]:
    """The dtype of convolutions and matrix products, and a line that says which it is and why.

    auto: bf16 where the device multiplies it, else fp16 on a GPU and fp32 on a CPU; networks that are no ResNets gain
    nothing from bf16 on a CPU.  archs: of the networks to run.  resumed: a checkpoint to go on from, whose precision
    auto keeps where this device multiplies it.  Raises MisuseError where fp16 is asked of a CPU.
    """
    what = "GPU" if device.type == "cuda" else "processor"
    fast = multiplies_bf16(device)
    if name == "fp16" and what == "processor":
        raise MisuseError("--precision fp16: only GPUs train in it; leave the flag out, or give fp32 or bf16")
    if name == "bf16" and not fast:
        print(f"--precision bf16: this {what} does not multiply it but emulates it, which is slow", file=sys.stderr)
    if name != "auto":
        return DTYPES[name], f"precision {name}, as asked for"
    multiplied = {"fp32": True, "bf16": fast, "fp16": what == "GPU"}
    before = resumed["precision"] if resumed else ""
    if multiplied.get(before, False):
        return DTYPES[before], f"precision {before}, as before"
    if fast and (what == "GPU" or all(arch.startswith("resnet") for arch in archs)):
        return torch.bfloat16, f"precision bf16: this {what} multiplies it"
    if fast:
        return torch.float32, "precision fp32: on a processor only ResNets gain from bf16"
    best = "fp16" if what == "GPU" else "fp32"
    return DTYPES[best], f"precision {best}: this {what} does not multiply bf16"


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
    """Let a GPU choose its fastest algorithms, or only those that give the same bits each time.  A CPU always does.

    same_shapes: whether (nearly) all batches are of one shape, so that trying algorithms once pays.  Unless
    deterministic, products in fp32 are rounded to TF32 where a GPU has it.  On a CPU, see keep_freed_memory.
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
def gpu_errors_in_one_line() -> Iterator[None]:
    """What a GPU refuses for want of memory, or of an algorithm that is deterministic, as a UserError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        text = one_line(str(error).partition(". ")[0])
        raise UserError(f"{text}; give a smaller --batch_size (and train with more --iter_size)") from None
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise UserError(f"--deterministic: {one_line(str(error).partition(',')[0])} on this device") from None


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
