"""The picture of a timeline: which labels are on it, in which order, and that nothing in their names can break it."""

import cv2
import numpy as np
import pytest

from tagging.stream import PARTS, Timeline
from tagging.timeline import COLUMNS, ROWS, choose_rows, clock, draw_timeline, pooled, write_timeline


def timeline(n_seconds: int, n_classes: int = 20, seed: int = 0) -> Timeline:
    rng = np.random.default_rng(seed)
    scores = rng.random((n_seconds, n_classes)).astype(np.float32)
    scores[n_seconds // 3 : n_seconds // 2] = np.nan
    return Timeline(scores, rng.random((n_seconds, PARTS)).astype(np.float32))


def picture(*what) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(draw_timeline(*what), np.uint8), cv2.IMREAD_COLOR)


def test_the_most_active_labels_in_the_order_of_their_best_seconds():
    scores = np.zeros((10, ROWS + 5), np.float32)
    for label in range(ROWS + 2):
        scores[9 - label % 10, label] = 0.2 + 0.01 * label
    scores[0] = np.nan
    rows = choose_rows(scores)
    assert len(rows) == ROWS
    assert set(rows) <= set(range(ROWS + 2))
    assert (np.diff(np.nan_to_num(scores)[:, rows].argmax(axis=0)) >= 0).all()
    for n_classes, shown in (20, 3), (2, 2):  # none of them active
        assert len(choose_rows(np.full((5, n_classes), 0.01, np.float32))) == shown


@pytest.mark.parametrize("n", [1, 7, COLUMNS, COLUMNS + 1, 3600, 36_000])
def test_a_long_recording_keeps_its_short_events_in_few_columns(n):
    row = np.zeros((2, n), np.float32)
    row[1, n // 2] = 1
    made = pooled(row)
    assert made.shape[1] <= COLUMNS
    assert made.max(axis=1).tolist() == [0, 1]
    row[:] = np.nan
    row[0, n // 2] = 0.5  # the only second that is not silent
    assert np.isnan(pooled(row)).sum() == 2 * made.shape[1] - 1


def test_times_are_as_a_clock_shows_them():
    assert [clock(second) for second in (0, 65, 600, 3661)] == ["0:00", "1:05", "10:00", "1:01:01"]


@pytest.mark.parametrize("n_seconds", [1, 7200])
def test_a_picture_of_any_length_is_as_wide_and_shows_silence_in_grey(n_seconds):
    image = picture(timeline(n_seconds), [f"class {i}" for i in range(20)], "x.wav")
    assert image.shape[1] == 1320
    grey = (image == (0xEB, 0xE7, 0xE4)).all(axis=2).sum()
    assert (grey > 1000) == (n_seconds > 1)
    silent = Timeline(np.full((n_seconds, 4), np.nan, np.float32), np.zeros((n_seconds, PARTS), np.float32))
    assert picture(silent, list("abcd"), "x.wav").size


def test_what_is_under_its_threshold_is_grey():
    names = [f"class {i}" for i in range(20)]

    def coloured(*thresholds: float) -> int:
        image = picture(timeline(30), names, "x.wav", *(np.full(20, each, np.float32) for each in thresholds))
        heat = image[image.shape[0] // 3 :, : image.shape[1] * 9 // 10].astype(int)  # without the colour bar
        return int((np.ptp(heat, axis=2) > 45).sum())

    assert coloured(0.01) == coloured() > 50_000
    assert coloured(1.01) < 2_000
    assert coloured(1.01) < coloured(0.5) < coloured()


def test_no_name_breaks_the_picture(recwarn):
    names = ["$x^$", "$\\frac{$", "犬", "a\nb", "_hidden", "x" * 300, ""]
    for title in names[:5:2]:
        assert picture(timeline(5, len(names)), names, title).shape[1] == 1320
    assert len(recwarn) == 0


def test_the_table_beside_holds_every_second_and_class(tmp_path):
    made = timeline(6, 3)
    write_timeline(tmp_path / "x.png", made, ["a", 'b "c", d', "e"], "x")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert (len(lines), lines[0], lines[3]) == (7, 'fname,second,a,"b ""c"", d",e', "x,2,,,")
    np.testing.assert_allclose([float(x) for x in lines[1].split(",")[2:]], made.scores[0], rtol=1e-6)
