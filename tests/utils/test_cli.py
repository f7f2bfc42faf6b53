"""Types of arguments."""

import argparse

import pytest

from utils.cli import natural_float, natural_int, positive_float, positive_int, share


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (positive_int, {"1": 1, "40000": 40000}, ["0", "-1", "1.5", "x", "", "inf"]),
        (natural_int, {"0": 0, "7": 7}, ["-1", "0.0", "x"]),
        (natural_float, {"0": 0.0, "1e-1": 0.1}, ["-0.1", "nan", "inf", "x"]),
        (positive_float, {"1e-3": 0.001, "5": 5.0}, ["0", "-1", "nan", "inf", "x"]),
        (share, {"0": 0.0, "0.5": 0.5, "1": 1.0}, ["-0.1", "1.01", "nan", "x"]),
    ],
)
def test_argument_types_take_what_makes_sense_and_name_what_does_not(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a"):
            kind(text)
