"""Some dozens of broken tables: each is read, or refused in one line; every kind once, and every table."""

from tests.robustness.csv_mutants import CHANGES, DAMAGES, READ, REFUSED
from tests.robustness.fuzz_csv import attack


def test_broken_tables_are_read_or_refused_in_one_line(tmp_path):
    tally, problems = attack(tmp_path, len(CHANGES) + len(DAMAGES), seed=0)
    assert problems == []
    assert {kind for kind, _ in tally} == {*CHANGES, *DAMAGES}
    assert {became for _, became in tally} == {READ, REFUSED}
