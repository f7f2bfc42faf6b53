"""Stages without a byte of room: one line, nothing torn or lost, and with room again the same files."""

import pytest

from tests.robustness.disk_full import DISK, room_for, squeeze

PASSES = {"disk full": ["features", "train 0", "test 0", "merge val"], "ulimit -f": ["features", "train 1"]}


@pytest.mark.parametrize("kind", PASSES)
def test_without_room_a_stage_fails_in_one_line_and_with_room_it_goes_on(kind, peace, tmp_path):
    try:
        with room_for(kind, tmp_path / "disk") as folder:
            tallies = squeeze(kind, folder, *peace, PASSES[kind], (0, DISK))
    except PermissionError as error:
        pytest.skip(str(error))
    assert [text for tally in tallies.values() for text in tally.problems] == []
    tried = [tallies[name.split()[0]] for name in PASSES[kind]]
    assert all(tally.failed and tally.succeeded for tally in tried)
