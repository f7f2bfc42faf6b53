"""The plug is pulled a few times: no file is torn, and the loop ends as one that was left in peace."""

import signal

import numpy as np
import pytest

from tests.robustness.kills import Tally, kill_until_done, stop_twice, stop_with

TARGETS = ["features", "train 0", "test 0", "train 1"]


@pytest.fixture(scope="module")
def victim(peace, tmp_path_factory):
    """Where the loop has ended, too."""
    return peace[0].copy(tmp_path_factory.mktemp("kills") / "victim")


def test_killed_again_and_again_the_loop_ends_with_the_same_files(peace, victim):
    tally = Tally()
    kill_until_done(victim, *peace[:1], TARGETS, peace[1], tally, np.random.default_rng(0))
    assert tally.problems == []
    assert tally.kills.total() == len(TARGETS)


def test_stopped_by_sigterm_it_says_how_to_go_on_and_ends_with_the_same_files(peace, victim):
    tally = Tally()
    said = stop_with(signal.SIGTERM, victim, peace[0], tally)
    assert tally.problems == []
    assert "to go on: python train.py --resume checkpoints/" in said


def test_a_second_sigterm_ends_a_training_within_its_step(victim):
    tally = Tally()
    stop_twice(victim, tally)
    assert tally.problems == []
