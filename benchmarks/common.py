"""What every benchmark prints: a title, the machine, one Markdown table, notes."""

import argparse
import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

from utils.errors import MisuseError

Row = dict[str, str]  # a table's row, by column
MODES = ("eager", "recorded", "compiled")  # a network as it is; as CUDA graphs; by torch.compile, as graphs too
PYTHON = os.environ.get("PYTHON") or sys.executable  # that runs contenders and scripts, as in run.sh


def publish(title: str, facts: str, rows: list[Row], notes: list[str], args: argparse.Namespace) -> None:
    """Print a section of Markdown and append it to the file --output.  facts: sizes and n; args: the script's."""
    measured_on = f"{machine(args.device)}; {package_versions()}; {facts}."
    text = "\n\n".join([f"### {title}", measured_on, markdown(rows), *notes]) + "\n"
    print(f"\n{text}", flush=True)
    if args.output:
        with open(args.output, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def add_output_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that publish() reads."""
    parser.add_argument("--output", type=Path, help="file to append the table to")


def refuse_mode(mode: str, device: str) -> None:
    """Raises MisuseError where CUDA graphs are asked of a CPU."""
    if mode == "recorded" and device == "cpu":
        raise MisuseError("recorded: CUDA graphs are for GPUs; add --device cuda, or choose another mode")


def markdown(rows: list[Row]) -> str:
    """A Markdown table; the first row names the columns."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine(device: str) -> str:
    """The GPU's name where it is the GPU that is measured, else the CPU's, its cores and how busy it was before."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    return f"{os.cpu_count()} cores of {_cpu_model()}, load average {os.getloadavg()[0]:.1f}"


def stand_in_for_audio_packages() -> None:
    """Let train.py be imported where torch is but these are not: steps and random folds need none of them."""
    for name in ("soundfile", "soxr", "iterstrat"):
        if find_spec(name) is None:
            sys.modules[name] = MagicMock()
            if name == "iterstrat":
                sys.modules["iterstrat.ml_stratifiers"] = MagicMock()


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def package_versions() -> str:
    """Python and the packages that speed depends on, where they are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "numpy", "scipy", "librosa"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
