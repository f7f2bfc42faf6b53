"""README.md and docs/ as tests see them: their blocks of code, and the commands that bash makes of those."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<!`)`((?:\w+=\S+ )*(?:python|\./run\.sh|make|\./tests/\S+) [^`]+)`(?!`)")
PROGRAMS = ["python", "pip", "make", "torchrun", "dask", "kaggle", "sbatch"]
STUB = """#!/bin/sh
{ printf '%s\\037' "${0##*/}" "$@"; printf '\\036'; } >> "$CALLS"
case "$*" in
  *"--plan nope"*) echo "train.py: --plan nope: the data set has val, test" >&2; exit 2 ;;
  *--plan*) printf '%s\\n' "$PLAN" ;;
esac
"""
PLAN = ["val test", *(f"best_{fold}.pth" for fold in range(5))]  # what run.sh asks train.py for


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language on a page."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def command_texts(page: Path) -> list[str]:
    """What a reader of the page may paste into bash: its bash blocks, and commands within sentences."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return blocks(page, "bash") + [" ".join(command.split()) for command in COMMAND.findall(prose)]


def called(text: str, folder: Path, plan: list[str] = PLAN, **programs: str) -> list[list[str]]:
    """The calls of programs that bash makes of a text, with stand-ins for the programs; run.sh is the real one.

    folder: an empty one, to run in.  programs: other stand-ins, by name.  Raises CalledProcessError.
    """
    bin_dir, calls = folder / "bin", folder / "calls"
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/activate").touch()
    bin_dir.mkdir(exist_ok=True)
    for path, script in {
        **{bin_dir / program: STUB for program in PROGRAMS},
        **{bin_dir / program: script for program, script in programs.items()},
        folder / "run.sh": (ROOT / "run.sh").read_text(),
    }.items():
        path.write_text(script)
        path.chmod(0o755)
    calls.write_text("")
    environ = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "CALLS": str(calls), "PLAN": "\n".join(plan)}
    how = {"check": True, "timeout": 60, "capture_output": True, "text": True}
    subprocess.run(["bash", "-euc", text], cwd=folder, env=environ, **how)
    return [call.split("\037")[:-1] for call in calls.read_text().split("\036")[:-1]]


def scripts_called(*how: object, **programs: object) -> list[list[str]]:
    """As called, but only the calls of Python, without its name, and without those that ask for a plan."""
    return [call[1:] for call in called(*how, **programs) if call[0] == "python" and "--plan" not in call]
