"""Command lines: help that shows defaults and an example, types that refuse nonsense, flags given by hand."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from utils.errors import one_line

SEEDS = range(1 << 32)  # what every generator takes, scikit-learn's too
HERTZ = range(1000, 768_001)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=110)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line; argparse itself prints the whole usage before it."""
        self.exit(2, f"{self.prog}: {one_line(message)}; -h lists all flags\n")


def make_parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser that takes no abbreviated flags, so that a misspelt one is an error and not another flag.

    description: a script's docstring, the first line of which is shown; None under `python -OO`, which drops them.
    """
    description = (description or "").partition("\n")[0]
    return _Parser(
        description=description, epilog=f"example:\n  {example}", formatter_class=_Formatter, allow_abbrev=False
    )


def given_flags(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Only the flags given on the command line, by destination, without defaults."""
    defaults, of_parser = {action.dest: action.default for action in parser._actions}, dict(parser._defaults)
    parser._defaults.clear()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    given = vars(parser.parse_args(argv))
    for action in parser._actions:
        action.default = defaults[action.dest]
    parser._defaults.update(of_parser)
    return given


def can_be(action: argparse.Action, value: Any) -> bool:
    """Whether a flag could have given that value, or does if it is left out."""
    if value is None:
        return action.default is None
    if action.nargs == 0:
        return isinstance(value, bool)
    try:
        return (action.type or str)(str(value)) == value and (action.choices is None or value in action.choices)
    except argparse.ArgumentTypeError:
        return False


def positive_int(text: str) -> int:
    """Argument type: a whole number from 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number from 1")


def natural_int(text: str) -> int:
    """Argument type: a whole number from 0."""
    return _number(text, int, lambda value: value >= 0, "a whole number from 0")


def seed(text: str) -> int:
    """Argument type: a whole number that every generator takes as its seed."""
    return _number(text, int, lambda value: value in SEEDS, "a whole number from 0 to 4294967295")


def hertz(text: str) -> int:
    """Argument type: a sampling rate."""
    return _number(text, int, lambda value: value in HERTZ, "a whole number from 1000 to 768000")


def natural_float(text: str) -> float:
    """Argument type: a finite number from 0."""
    return _number(text, float, lambda value: 0 <= value < float("inf"), "a number from 0")


def positive_float(text: str) -> float:
    """Argument type: a finite number above 0."""
    return _number(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def share(text: str) -> float:
    """Argument type: a number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _number(text: str, kind: type, holds: Callable[[Any], bool], wanted: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
