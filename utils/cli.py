"""Command lines: help with defaults and an example, and types of arguments."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, NoReturn

from utils.errors import one_line

SEEDS = range(1 << 32)  # what every generator takes, scikit-learn's too
HERTZ = range(1000, 768_001)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line; argparse itself prints the whole usage before it."""
        self.exit(2, f"{self.prog}: {one_line(message)}; -h lists all flags\n")


def make_parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser that takes no abbreviated flags, so that a misspelt one is an error and not another flag.

    description: a script's docstring, whose first line is shown; None under `python -OO`.
    """
    how = {"formatter_class": partial(_Formatter, max_help_position=36, width=110), "allow_abbrev": False}
    return _Parser(description=(description or "").partition("\n")[0], epilog=f"example:\n  {example}", **how)


def _number(kind: type, holds: Callable[[Any], bool], wanted: str) -> Callable[[str], Any]:
    """An argument type.  wanted: its numbers, in words."""

    def convert(text: str) -> Any:
        with suppress(ValueError):
            value = kind(text)
            if holds(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return convert


positive_int = _number(int, lambda value: value >= 1, "a whole number from 1")
natural_int = _number(int, lambda value: value >= 0, "a whole number from 0")
seed = _number(int, lambda value: value in SEEDS, "a whole number from 0 to 4294967295")
hertz = _number(int, lambda value: value in HERTZ, "a whole number from 1000 to 768000")
natural_float = _number(float, lambda value: 0 <= value < inf, "a number from 0")
positive_float = _number(float, lambda value: 0 < value < inf, "a number above 0")
share = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
