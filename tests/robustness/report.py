"""What the attacks print: a section of docs/robustness.md, with the day and the command that give its figures."""

import argparse
import signal
import sys
from datetime import date
from pathlib import Path

from benchmarks.common import Row, add_output_flag, publish
from utils.cli import make_parser, natural_int

SHOWN = 50  # problems that a section lists


def attack_parser(doc: str, example: str) -> argparse.ArgumentParser:
    """A parser with the flags that every attack has."""
    parser = make_parser(doc, f"python tests/robustness/{example} --output results.md")
    parser.add_argument("--seed", type=natural_int, default=0, help="of all that is random")
    add_output_flag(parser)
    parser.set_defaults(device="cpu")
    return parser


def exit_when_terminated() -> None:
    """Have SIGTERM unwind this process as Ctrl-C does, so that it takes along what it started."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def report(
    title: str, facts: str, rows: list[Row], notes: list[str], problems: list[str], args: argparse.Namespace
) -> int:
    """Print a section and append it to the file --output.  The exit code: 1 if there are problems."""
    flags = [f"--{name} {value}" for name, value in vars(args).items() if name not in ("output", "device")]
    measured = f"{date.today()}, `python tests/robustness/{Path(sys.argv[0]).name} {' '.join(flags)}`; {facts}"
    publish(title, measured, rows, [*notes, f"Problems: {len(problems)}.", *problems[:SHOWN]], args)
    return int(bool(problems))
