"""Events: where they begin and end, and the files that other programs read."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from tagging.events import COLUMNS, event_table, find_events, write_events
from tagging.stream import PARTS, Timeline, read_seconds, score_recording, second_levels
from tagging.tagger import Tagged
from tests.conftest import SETTINGS

RATE = 16000


def timeline(scores: list[list[float]], sounds: list[tuple[float, float]], seconds: float | None = None) -> Timeline:
    """Scores per second and label; tones from when to when."""
    n = len(scores)
    time = np.arange(round((seconds or n) * RATE)) / RATE
    wave = np.zeros(len(time), np.float32)
    for onset, offset in sounds:
        wave += 0.3 * np.sin(2 * np.pi * 440 * time) * ((time >= onset) & (time < offset))
    parts = np.concatenate([second_levels(wave[i * RATE : (i + 1) * RATE], RATE) for i in range(n)])
    levels = np.pad(parts, (0, n * PARTS - len(parts))).reshape(n, PARTS)
    return Timeline(np.array(scores, np.float32), levels, seconds=len(time) / RATE)


HALF = np.full(2, 0.5, np.float32)
CASES = {  # scores, sounds, length -> onset, offset and label of each event
    "a sound within its seconds": ([[0, 0], [0.9, 0], [0.8, 0], [0, 0]], [(1.3, 2.6)], None, [(1.3, 2.6, 0)]),
    "begins before and ends after": ([[0, 0], [0.9, 0], [0.1, 0]], [(0.7, 2.2)], None, [(0.7, 2.2, 0)]),
    "goes on through a weaker second": ([[0.9, 0], [0.3, 0], [0.9, 0]], [(0, 3)], None, [(0, 3, 0)]),
    "two, apart": ([[0.9, 0], [0, 0], [0.9, 0]], [(0.1, 0.9), (2.2, 2.8)], None, [(0.1, 0.9, 0), (2.2, 2.8, 0)]),
    "two labels at once": ([[0.9, 0.6], [0.9, 0]], [(0.2, 1.8)], None, [(0.2, 1.5, 1), (0.2, 1.8, 0)]),
    "never reaches its threshold": ([[0.4, 0.4]] * 3, [(0, 3)], None, []),
    "no longer than the recording": ([[0.9, 0], [0.9, 0]], [(0, 9)], 1.23, [(0, 1.23, 0)]),
    "none in silence": ([[np.nan, np.nan], [0.9, 0]], [(1.4, 2.0)], None, [(1.4, 2.0, 0)]),
    "nothing that can be heard": ([[0.9, 0.9]], [], None, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_event_is_where_its_sound_is(case):
    scores, sounds, seconds, expected = CASES[case]
    found = find_events(timeline(scores, sounds, seconds), HALF)
    assert found.label.tolist() == [label for *_, label in expected]
    for row, (onset, offset, _) in zip(found.itertuples(), expected, strict=True):
        assert (row.onset, row.offset) == pytest.approx((onset, offset), abs=0.051)
        assert row.offset <= (seconds or len(scores))
        assert 0.5 <= row.score <= 1


def test_clean_single_sounds_are_an_event_each_also_over_the_border_of_two_blocks(tmp_path):
    """A file, read in its blocks of samples, and a network that hears what is not the silence's features."""
    sounds = [(0.0, 1.7), (5.31, 5.62), (12.5, 17.25), (55.2, 66.4), (75.37, 80.0)]
    time = np.arange(80 * RATE) / RATE
    wave = sum(0.3 * np.sin(2 * np.pi * 440 * time) * ((time >= onset) & (time < end)) for onset, end in sounds)
    sf.write(tmp_path / "x.wav", wave + np.random.default_rng(0).normal(0, 1e-4, len(wave)), RATE)

    def predict(features: list[np.ndarray], batch_size: int, tta: int, width: int) -> np.ndarray:
        return np.array([[np.minimum(4 * (crop.max(axis=1) > 0.4).mean(), 1), 0.01] for crop in features])

    network = SimpleNamespace(width=64, settings=SETTINGS, predict=predict)
    made = score_recording(read_seconds(tmp_path / "x.wav", SETTINGS), network, 32)
    found = find_events(made, HALF)
    assert len(found) == len(sounds)
    np.testing.assert_allclose(found[["onset", "offset"]], sounds, atol=0.25)
    assert found.offset.max() <= made.seconds == 80


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    files = [
        Tagged(tmp_path / "a.wav", None, timeline([[0.9, 0], [0, 0.8]], [(0.2, 0.8), (1.1, 1.9)])),
        Tagged(tmp_path / "quiet.wav", None, timeline([[0, 0]], [])),
        Tagged(tmp_path / "b, c.wav", None, timeline([[0, 0.7]], [(0.5, 1)])),
    ]
    return event_table(files, ["Bark", "Cat, meow"], HALF)


def test_sed_eval_reads_the_table_and_scores_it(table, tmp_path):
    sed_eval = pytest.importorskip("sed_eval")
    write_events(tmp_path / "events.tsv", table)
    assert table.columns.tolist() == COLUMNS
    lines = (tmp_path / "events.tsv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("filename\tonset\toffset\tevent_label", 4)
    read = sed_eval.io.load_event_list(str(tmp_path / "events.tsv"), fields=COLUMNS[:-1], csv_header=True)
    own = [each for each in read if each.filename.endswith("a.wav")]
    assert [each.event_label for each in own] == ["Bark", "Cat, meow"]
    metric = sed_eval.sound_event.EventBasedMetrics(["Bark", "Cat, meow"], t_collar=0.2)
    truth = [("Bark", 0.2, 0.8), ("Cat, meow", 1.1, 1.9)]
    names = ("event_label", "onset", "offset")
    metric.evaluate([dict(zip(names, each, strict=True)) for each in truth], own)
    assert metric.results_overall_metrics()["f_measure"]["f_measure"] == 1


def test_audacity_reads_the_track(table, tmp_path):
    """As it writes label tracks itself: start, end and label between tabs, no header."""
    write_events(tmp_path / "a.txt", table[table.filename.str.endswith("a.wav")])
    rows = [line.split("\t") for line in (tmp_path / "a.txt").read_text().splitlines()]
    assert [(float(start), float(end), label) for start, end, label in rows] == [
        (pytest.approx(0.2, abs=0.06), pytest.approx(0.8, abs=0.06), "Bark 0.90"),
        (pytest.approx(1.1, abs=0.06), pytest.approx(1.9, abs=0.06), "Cat, meow 0.80"),
    ]
