"""README.md and docs/ as tests see them: their blocks of code, and the commands that bash makes of those."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<!`)`((?:\w+=\S+ )*(?:python|\./run\.sh|make|\./tests/\S+) [^`]+)`(?!`)")
PROGRAMS = ["python", "pip", "make", "torchrun", "dask", "kaggle", "sbatch"]
STUB = """#!/bin/sh
{ printf '%s\\037' "${0##*/}" "$@"; printf '\\036'; } >> "$CALLS"
case "$*" in *"--plan"*) printf '%s\n' "val test" best_0.pth best_1.pth best_2.pth best_3.pth best_4.pth ;; esac
"""  # the last line: what run.sh asks train.py for


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language on a page."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def command_texts(page: Path) -> list[str]:
    """What a reader of the page may paste into bash: its bash blocks, and commands within sentences."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return blocks(page, "bash") + [" ".join(command.split()) for command in COMMAND.findall(prose)]


def called(text: str, folder: Path, change: Callable[[str], str] = str) -> list[list[str]]:
    """The calls of programs that bash makes of a text, with stand-ins for the programs; run.sh is the real one.

    folder: an empty one, to run in.  change: of the text, before.
    """
    bin_dir, calls = folder / "bin", folder / "calls"
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/activate").touch()
    bin_dir.mkdir(exist_ok=True)
    for program in PROGRAMS:
        (bin_dir / program).write_text(STUB)
        (bin_dir / program).chmod(0o755)
    (folder / "run.sh").write_bytes((ROOT / "run.sh").read_bytes())
    (folder / "run.sh").chmod(0o755)
    calls.write_text("")
    environ = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "CALLS": str(calls)}
    subprocess.run(["bash", "-euc", change(text)], cwd=folder, env=environ, check=True, timeout=60)
    return [call.split("\037")[:-1] for call in calls.read_text().split("\036")[:-1]]
