"""Scenes and the scores of events in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scenes import RATE, Event, activity, event_f1, mix_scene, seconds_of, segment_f1

LABELS = ["a", "b"]
HUNDREDTHS = st.tuples(st.integers(0, 800), st.integers(10, 300), st.integers(0, 1))  # onset, length, label
TIMES = st.lists(HUNDREDTHS, max_size=6).map(
    lambda events: [(at / 100, (at + n) / 100, label) for at, n, label in events]
)


@pytest.fixture(scope="module")
def sed_eval():
    return pytest.importorskip("sed_eval")


@settings(max_examples=40, deadline=None)
@given(true=st.lists(TIMES, min_size=2, max_size=2), found=st.lists(TIMES, min_size=2, max_size=2))
def test_f1_is_that_of_sed_eval(sed_eval, true, found):
    import dcase_util

    def container(times, file):
        names = ("onset", "offset", "event_label")
        rows = [dict(zip(names, (*time[:2], LABELS[time[2]]), strict=True)) | {"file": file} for time in times]
        return dcase_util.containers.MetaDataContainer(rows)

    metrics = sed_eval.sound_event
    segments = metrics.SegmentBasedMetrics(event_label_list=LABELS, time_resolution=1.0)
    events = metrics.EventBasedMetrics(event_label_list=LABELS, t_collar=0.2, evaluate_offset=False)
    for number, pair in enumerate(zip(true, found, strict=True)):
        reference, estimated = (container(times, f"{number}.wav") for times in pair)
        for metric in (segments, events):
            metric.evaluate(reference_event_list=reference, estimated_event_list=estimated)
    for metric, ours in ((segments, segment_f1), (events, event_f1)):
        theirs = metric.results_overall_metrics()["f_measure"]["f_measure"]
        if theirs == theirs:  # it has none where there is nothing to find, or nothing was found
            assert ours(true, found) == pytest.approx(theirs, abs=1e-9)


def test_a_scene_holds_what_its_events_say():
    time = np.arange(2 * RATE) / RATE
    sounds = [np.sin(2 * np.pi * pitch * time).astype(np.float32) for pitch in (300, 3000)]
    clips = (clip for _ in range(100) for clip in zip(sounds, np.eye(2, dtype=bool), strict=True))
    scene = mix_scene(clips, 40.0, np.random.default_rng(0))
    assert scene.samples.shape == (40 * RATE,)
    assert {event.kind for event in scene.events} == {"single", "louder", "fainter"}
    truth = activity(scene.events, 2, 40, least=1e-6)
    power = (scene.samples.reshape(40, RATE) ** 2).mean(axis=1)
    assert (10 * np.log10(power[~truth.any(axis=1)]) < -59).all()
    assert (10 * np.log10(power[activity(scene.events, 2, 40, least=0.9).any(axis=1)]) > -46).all()


def test_the_fainter_of_two_counts_where_both_sound():
    low, high = np.eye(2, dtype=bool)
    scene = [Event(1.0, 5.0, low, "louder"), Event(3.0, 7.0, high, "fainter"), Event(8.0, 9.0, low, "single")]

    class Mixed:
        events = scene

    np.testing.assert_array_equal(np.flatnonzero(seconds_of(Mixed, "fainter", 10)[:, 1]), [3, 4])
    np.testing.assert_array_equal(np.flatnonzero(seconds_of(Mixed, "single", 10)[:, 0]), [8])
