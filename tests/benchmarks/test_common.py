"""Contenders take turns, and one that dies is named."""

import os
from functools import partial

import pytest

from benchmarks import common
from benchmarks.common import Contender, Work, comparison, time_in_turn
from utils.errors import UserError


def build(name: str) -> Work:
    return partial(work, name)


def work(name: str, amount: int) -> None:
    with open("work.log", "a+") as log:
        log.write(f"{name}{amount} ")
        log.seek(0)
        if log.read().count("b") == 4:
            os._exit(3)


def test_contenders_take_turns_every_other_round_is_reversed_and_one_that_dies_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "REST", 0)
    monkeypatch.chdir(tmp_path)
    contenders = [Contender(f"contender {name}", build, (name,)) for name in "ab"]
    with pytest.raises(UserError, match="contender b: "):
        time_in_turn(contenders, repeats=3, amount=5)
    assert (tmp_path / "work.log").read_text() == "a5 b5 a5 b5 b5 a5 a5 b5 "
    assert [len(contender.rounds) for contender in contenders] == [3, 2]
    assert all(0 < min(contender.rounds) <= max(contender.rounds) < contender.cold for contender in contenders)


def test_ratios_compare_round_by_round():
    ours, other = Contender("A", build, result=2e6), Contender("B", build, result=3e6)
    ours.rounds, other.rounds = [1.0, 8.0, 2.0], [3.0, 12.0, 4.0]
    rows = comparison([ours, other], "step", clips=10)
    assert [row["clips/s"] for row in rows] == ["5", "2.5"]
    assert [row["memory, MB"] for row in rows] == ["2", "3"]
    assert rows[1]["ours is so many times as fast"] == "2.00 (1.50..3.00)"
