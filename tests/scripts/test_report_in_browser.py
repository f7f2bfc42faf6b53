"""The report in a real browser, without a network: it plays, sorts and filters, and fits a phone."""

import shlex

import pytest

from tests.scripts.conftest import check_looks, resize

FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234 --clips 3 --noisy_clips 2")


@pytest.fixture
def page(browser, ready, script):
    """The report of a random run, opened from disk in a window of a phone's width; it may not have said a thing."""
    script(ready, "report.py", *FLAGS).ok()
    resize(browser, 390)
    browser.get((ready / "report.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []


def column(page, table: str, number: int) -> list[str]:
    return page.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr:not([hidden])`)]"
        ".map((row) => row.cells[arguments[1]].textContent)",
        table, number,
    )  # fmt: skip


def test_every_player_has_sound_and_plays(page):
    durations = page.execute_async_script(
        "const done = arguments[0], players = [...document.querySelectorAll('audio')];"
        "Promise.all(players.map((p) => new Promise((ready) => p.readyState ? ready() : p.onloadedmetadata = ready)))"
        ".then(() => done(players.map((p) => p.duration)))"
    )
    assert len(durations) == 5
    assert all(0.2 < seconds < 5.2 for seconds in durations)
    played = page.execute_async_script(
        "const done = arguments[0], p = document.querySelector('audio'); p.muted = true;"
        "p.ontimeupdate = () => p.currentTime > 0.05 && done(p.currentTime); p.play()"
    )
    assert played > 0.05


def test_a_click_on_a_head_sorts_and_another_one_turns_the_order(page):
    for number, kind in enumerate((str, int, float)):
        button = page.find_elements("css selector", "#per-class th button")[number]
        orders = []
        for _ in range(2):
            button.click()
            orders.append([kind(value) for value in column(page, "per-class", number)])
        assert sorted(orders, key=lambda order: order[0]) == [sorted(orders[0]), sorted(orders[0], reverse=True)]
        assert button.find_element("xpath", "..").get_attribute("aria-sort") in ("ascending", "descending")


def test_the_filter_keeps_the_rows_that_hold_the_word(page):
    before = column(page, "pairs", 0)
    search = page.find_element("css selector", "[data-for=pairs]")
    search.send_keys("hum")
    assert 0 < len(column(page, "pairs", 0)) < len(before)
    rows = zip(column(page, "pairs", 0), column(page, "pairs", 1), strict=True)
    assert all("Hum" in row for row in rows)
    search.send_keys("\b" * 3)
    assert column(page, "pairs", 0) == before


def test_the_page_is_no_wider_than_its_window_and_dark_where_the_system_is(page):
    check_looks(page, "getComputedStyle(document.body).backgroundColor")
    check_looks(page, "getComputedStyle(document.querySelector('svg text')).fill")


def test_a_script_that_got_in_would_not_run(browser, ready, script):
    """The page's policy knows its own script by its hash."""
    script(ready, "report.py", *FLAGS).ok()
    page = ready / "report.html"
    page.write_text(page.read_text().replace("<main>", "<main><script>document.title = 'taken'</script>"))
    browser.get(page.as_uri())
    assert browser.title == "tiny"
    assert any("Content Security Policy" in line["message"] for line in browser.get_log("browser"))
