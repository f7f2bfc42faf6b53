"""tag.py's page of recordings in a real browser: it plays, jumps, moves thresholds and saves what tag.py would."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from reporting.recordings import RecordingsPage
from tagging.events import RULE, event_table, write_events
from tagging.stream import Timeline, read_seconds, second_levels
from tagging.tagger import Tagged
from tests.conftest import SETTINGS
from tests.scripts.conftest import check_looks, resize

LABELS = ["Bark", 'Cat, "meow" </script><b>', "Hum"]
THRESHOLDS = np.array([0.5, 0.4, 0.3], np.float32)
RATE = 16000


def recording(path: Path, seconds: float, seed: int = 0) -> Tagged:
    """A file of bursts of tones, some of them faint, and scores that nobody's network gave."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    loudness = np.repeat(rng.choice([0, 1e-5, 0.01, 0.3], round(seconds * 4) + 1), RATE // 4)[: len(time)]
    sf.write(path, loudness * np.sin(2 * np.pi * 440 * time), RATE, subtype="FLOAT")
    levels = np.concatenate([second_levels(second, RATE) for second in read_seconds(path, SETTINGS)])
    levels = np.pad(levels, (0, -len(levels) % 20)).reshape(-1, 20)
    scores = rng.uniform(0, 1, (len(levels), len(LABELS))).astype(np.float32) ** 2
    scores[(levels < 1e-4).all(axis=1)] = np.nan
    return Tagged(path, None, Timeline(scores, levels, len(time) / RATE))


def write_page(folder: Path, files: list[Tagged]) -> Path:
    page = RecordingsPage(folder / "page.html", SETTINGS, LABELS, THRESHOLDS, RULE)
    for file in files:
        page.add(file.path, file.timeline)
    page.write()
    return page.path


@pytest.fixture
def files(tmp_path) -> list[Tagged]:
    lengths = {"a b#1.wav": 12.3, "c.wav": 40.0, "d.wav": 0.3}
    return [recording(tmp_path / name, seconds, seed) for seed, (name, seconds) in enumerate(lengths.items())]


@pytest.fixture
def page(browser, tmp_path, files):
    """The page, opened from disk; it may not have said a thing."""
    resize(browser, 1280)
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    browser.get(write_page(tmp_path, files).as_uri())
    browser.execute_script("audio.muted = true")
    yield browser
    assert browser.get_log("browser") == []


def click(page, name: str) -> None:
    page.find_element("id", name).click()


def press(page, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def state(page, script: str = "") -> float:
    return page.execute_script(f"return {script or 'audio.currentTime'}")


def wait(page, condition: str) -> None:
    page.execute_async_script(
        f"const done = arguments[0], ask = () => ({condition}) ? done() : setTimeout(ask, 20); ask()"
    )


def saved(path: Path) -> str:
    for _ in range(200):
        if path.exists():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} was not saved")


def expected(tmp_path: Path, files: list[Tagged], thresholds: np.ndarray, name: str) -> str:
    write_events(tmp_path / f"expected{name}", event_table(files, LABELS, thresholds))
    return (tmp_path / f"expected{name}").read_text()


def test_it_saves_what_tag_py_writes(page, files, tmp_path):
    click(page, "table")
    assert saved(tmp_path / "events.tsv") == expected(tmp_path, files, THRESHOLDS, ".tsv")
    page.execute_script("arguments[0].value = 1; arguments[0].dispatchEvent(new Event('change'))",
                        page.find_element("id", "which"))  # fmt: skip
    click(page, "track")
    assert saved(tmp_path / "c.wav.txt") == expected(tmp_path, files[1:2], THRESHOLDS, ".txt")


def slide(page, label: int, shift: float) -> None:
    page.execute_script(
        "$('of').value = arguments[0]; $('of').dispatchEvent(new Event('change'));"
        "$('shift').value = arguments[1]; $('shift').dispatchEvent(new Event('input'))",
        label, shift,
    )  # fmt: skip


@pytest.mark.parametrize("moves", [{2: 3.0}, {-1: 1.0, 0: -2.0}, {-1: -5.0}])
def test_the_slider_shows_at_once_what_would_be_reported(page, files, tmp_path, moves):
    odds = np.log(THRESHOLDS.astype(float) / (1 - THRESHOLDS.astype(float))) + moves.get(-1, 0)
    for label, shift in moves.items():
        slide(page, label, shift)
        if label >= 0:
            odds[label] += shift
    thresholds = (1 / (1 + np.exp(-odds))).astype(np.float32)
    found = event_table(files[:1], LABELS, thresholds)
    rows = page.execute_script("return [...$('rows').rows].map((row) => [...row.cells].map((c) => c.textContent))")
    assert [row[2] for row in rows] == found.event_label.tolist()
    assert [row[0] for row in rows] == [f"0:{onset:05.2f}" for onset in found.onset]
    assert state(page, "document.querySelectorAll('.lane').length") == found.event_label.nunique()
    click(page, "table")
    assert saved(tmp_path / "events.tsv") == expected(tmp_path, files, thresholds, ".tsv")
    slide(page, -1, 0)
    slide(page, list(moves)[-1], 0)
    assert page.find_element("id", "least").text.endswith(", as given")


def test_a_click_plays_from_there_and_keys_stop_go_and_jump(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    wait(page, "audio.readyState > 0")
    assert state(page, "audio.duration") == pytest.approx(12.3, abs=0.1)
    picture = page.find_element("id", "picture")
    ActionChains(page).move_to_element_with_offset(picture, picture.size["width"] // 4, 0).click().perform()
    assert state(page) == pytest.approx(12.3 * 3 / 4, abs=0.5)
    wait(page, "!audio.paused && audio.currentTime > 9.3")
    assert page.find_element("id", "play").text == "Stop"
    press(page, " ")
    wait(page, "audio.paused")
    before = state(page)
    press(page, Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert state(page) == pytest.approx(before - 1, abs=0.05)
    onsets = sorted(set(state(page, "one.events.map((event) => event.onset)")))
    page.execute_script("go(0.001)")
    heard = []
    for _ in onsets:
        press(page, "n")
        heard.append(state(page))
    assert heard[: len(onsets) - 1] == pytest.approx([at for at in onsets if at > 0.011][: len(onsets) - 1], abs=0.01)
    press(page, "p")
    assert state(page) == pytest.approx(onsets[-2], abs=0.01)
    page.find_elements("css selector", "#rows button")[3].click()
    wait(page, f"!audio.paused && audio.currentTime > {state(page, 'one.events[3].onset')}")


def test_everything_can_be_done_without_a_mouse(page):
    from selenium.webdriver.common.keys import Keys

    seen = set()
    for _ in range(40):
        press(page, Keys.TAB)
        seen.add(page.switch_to.active_element.get_attribute("id"))
    assert {"which", "of", "shift", "previous", "play", "next", "out", "in", "strip", "table", "track"} <= seen
    page.execute_script("$('shift').focus()")
    press(page, Keys.ARROW_LEFT)
    assert (state(page), state(page, "$('shift').value")) == (0, "-0.1")  # the slider's own key
    page.execute_script("$('play').focus()")
    press(page, " ")
    wait(page, "!audio.paused")


def test_zoom_keeps_the_place_that_is_heard_in_sight(page):
    page.execute_script("go(9)")
    click(page, "in")
    click(page, "in")
    assert state(page, "inner.clientWidth > strip.clientWidth")
    assert state(page, "strip.scrollLeft < 9 / one.seconds * inner.clientWidth")
    click(page, "out")
    click(page, "out")
    assert state(page, "inner.clientWidth") == state(page, "strip.clientWidth")


def test_the_page_is_no_wider_than_its_window_and_dark_where_the_system_is(page):
    check_looks(page, "getComputedStyle($('wave')).color + getComputedStyle(strip).backgroundColor")


def test_what_does_not_fit_is_played_from_its_file(browser, files, tmp_path, monkeypatch):
    monkeypatch.setattr("reporting.recordings.EMBEDDED", 12.0 * 6000)
    page = write_page(tmp_path, files)
    html = page.read_text()
    assert html.count("data:audio/mpeg") == 1  # the last and shortest one
    assert "This page holds the sound of 1, and plays that of the others from their files." in html
    browser.get(page.as_uri())
    wait(browser, "audio.readyState > 0")
    assert state(browser, "audio.duration") == pytest.approx(12.3, abs=0.01)
    files[1].path.unlink()
    browser.execute_script("show(1)")
    wait(browser, "$('said').textContent.includes('cannot play')")
    assert all("c.wav" in line["message"] for line in browser.get_log("browser"))


def test_tag_py_writes_it(browser, run_tag, sounds, beep, tmp_path):
    files = [beep(sounds / "one.wav", 2.5), beep(sounds / "two.wav", 61.0)]
    out = ["--page", sounds / "page.html", "--events", sounds / "e.tsv", "--threshold", 0.2]
    done = run_tag(*files, *out)
    assert (done.code, done.err) == (0, "")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.get((sounds / "page.html").as_uri())
    click(browser, "table")
    assert saved(tmp_path / "events.tsv") == (sounds / "e.tsv").read_text()
    assert len(pd.read_csv(sounds / "e.tsv", sep="\t")) > 0
    assert browser.get_log("browser") == []
