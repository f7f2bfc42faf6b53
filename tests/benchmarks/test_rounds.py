"""Rounds: one contender at a time, each in turn, and a contender that dies is named."""

import sys
from pathlib import Path

import pytest

from benchmarks.rounds import Contender, Timing, comparison, ratio, timed_rounds
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from benchmarks.rounds import serve
name = sys.argv[-1]
def work(amount):
    print("this is no answer", flush=True)
    with open("work.log", "a") as log:
        log.write(f"{{name}}{{amount}} ")
    if name == "bad":
        sys.exit(3)
serve(lambda: work)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(ROOT)), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(script), "--some", "flag"])
    monkeypatch.setattr("benchmarks.rounds.SETTLE", 0)
    return tmp_path


def test_contenders_take_turns_and_every_other_round_is_reversed(folder):
    contenders = [Contender("a", "A", amount=5, folder=folder), Contender("b", "B", amount=2, folder=folder)]
    timings = timed_rounds(contenders, repeats=3, warm_up=1)
    assert (folder / "work.log").read_text() == "a1 b1 a5 b2 b2 a5 a5 b2 "
    for timing in timings:
        assert len(timing.rounds) == 3
        assert 0 < min(timing.rounds) <= max(timing.rounds) < timing.cold


def test_a_contender_that_dies_is_named(folder):
    with pytest.raises(UserError, match="The bad one: its process ended"):
        timed_rounds([Contender("bad", "The bad one", folder=folder)], repeats=1, warm_up=1)


def test_ratios_compare_round_by_round():
    ours, other = Timing(rounds=[1.0, 8.0, 2.0]), Timing(rounds=[3.0, 12.0, 4.0])
    assert ratio(ours, other) == (2.0, 1.5, 3.0)
    rows = comparison([Contender("a", "A"), Contender("b", "B", "at least 2")], [ours, other], "step", clips=10)
    assert [row["clips/s"] for row in rows] == ["5", "2.5"]
    assert rows[1]["ours is so many times as fast"] == "2.00 (1.50..3.00)"
    assert rows[1]["goal"] == "at least 2"
