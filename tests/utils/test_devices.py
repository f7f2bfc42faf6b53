"""Where to compute and how exactly."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.devices import address_room, pick_device, pick_precision
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


BLOCKS = """
import resource, sys
from pathlib import Path
import torch
from utils.devices import keep_freed_memory

def faults() -> int:
    block = torch.ones(30_000_000)  # 120 MB, past any threshold of glibc's by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
counts = [faults() for _ in range(30)]
flags = [line.split()[1:] for line in Path("/proc/self/smaps").read_text().splitlines() if line.startswith("VmFlags")]
print(counts[-1] - counts[-6], any("hg" in each for each in flags))
"""
GLIBC = platform.libc_ver()[0] == "glibc"
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def thirty_blocks(how: str) -> tuple[int, bool]:
    """Page faults of the last five of thirty large blocks, and whether any memory is to have huge pages."""
    root = Path(__file__).parents[2]
    foreign = ("LD_PRELOAD", "MALLOC_", "GLIBC_")  # which may stand for another allocator, or one set up otherwise
    clean = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS, how],
        cwd=root,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    count, huge = done.stdout.split()
    return int(count), huge == "True"


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_freed_memory_is_used_again():
    kept, given_back = thirty_blocks("keep")[0], thirty_blocks("give back")[0]
    assert kept < 100 < given_back


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
@pytest.mark.skipif(not HUGE.exists(), reason="this system has no huge pages")
def test_memory_is_to_have_huge_pages():
    assert thirty_blocks("keep")[1]
    assert not thirty_blocks("give back")[1]


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_no_addresses_are_taken_where_they_are_limited(monkeypatch):
    assert address_room() > 1 << 30
    monkeypatch.setattr("resource.getrlimit", lambda _: (20 << 30, 20 << 30))
    assert address_room() == 0
