"""The flags that choose a device, in test.py and tag.py."""

import argparse
import sys

import torch

from utils.devices import DEVICES, pick_device

USE_CUDA = "use_cuda"  # a value of --device that only --use_cuda gives


def add_device_flags(group: argparse._ArgumentGroup) -> None:
    """Add --device, and --use_cuda and --no-use_cuda, which set it too."""
    group.add_argument("--device", default="auto", choices=DEVICES, help="auto: a GPU if there is one")
    synonym = {"dest": "device", "action": "store_const"}
    group.add_argument("--use_cuda", const=USE_CUDA, help="a GPU, or the CPU if there is none", **synonym)
    group.add_argument("--no-use_cuda", const="cpu", help="the CPU, as --device cpu", **synonym)


def choose_device(name: str) -> torch.device:
    """The device that a value of --device stands for; --use_cuda without a GPU prints a line and takes the CPU."""
    if name == USE_CUDA and not torch.cuda.is_available():
        print("--use_cuda: there is no usable GPU here; using the CPU", file=sys.stderr)
    return pick_device("auto" if name == USE_CUDA else name)
