"""Charts are well-formed SVG in the page's colours; what goes in as text comes out as text, whatever it is."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.charts import HUES, curves, heat_map, reliability_chart
from reporting.markup import Section, card, document, number, paragraph, table, text


@pytest.fixture(scope="module")
def charts() -> dict[str, str]:
    bins = np.array([0.1, np.nan, 0.8]), np.array([0.2, np.nan, 0.7]), np.array([100, 0, 3])
    return {
        "curves": curves([([10, 20], [3.0, 1.0]), ([10, 20], [3.5, 1.5])], "Loss"),
        "many": curves([([1], [0.5])] * (HUES + 1), "Loss", floor=True),
        "reliability": reliability_chart([bins, bins], "Reliability"),
    }


def test_each_is_well_formed_named_and_brings_no_style_no_id_no_address_and_no_colour_but_the_pages(charts):
    for svg in charts.values():
        assert ET.fromstring(svg).get("aria-label") in ("Loss", "Reliability")
        assert not re.search(r"<style|font-family|href|url\(| id=|#[0-9a-f]{3}", svg)
    assert "var(--hue-1)" in charts["curves"]
    assert "var(--hue-2)" not in charts["curves"]
    assert f"var(--hue-{HUES}" not in charts["many"]


@pytest.mark.parametrize(
    ("high", "labels"),
    [(0.002, ["0", "0.0005", "0.001", "0.0015", "0.002"]), (2.2e-5, ["0", "5e-06", "1e-05", "1.5e-05", "2e-05"]),
     (45e3, ["0", "10000", "20000", "30000", "40000"])],
)  # fmt: skip
def test_ticks_are_short_and_have_room_beside_the_axis(high, labels):
    chart = ET.fromstring(curves([([100, 200, 40000], [high, high / 2, 0.0])], "Learning rate", floor=True))
    ends = [tick for tick in chart.iter("text") if tick.get("text-anchor") == "end"]
    assert [tick.text for tick in ends] == labels
    assert all(float(tick.get("x")) >= 5.5 * len(tick.text) for tick in ends)
    assert [tick.text for tick in chart.iter("text")][2:7] == ["0", "10000", "20000", "30000", "40000"]


def test_one_validation_has_a_chart_with_its_step():
    assert ">7</text>" in curves([([7], [0.5])], "Loss")


@pytest.mark.parametrize(
    ("make", "tags"),
    [(text, ["td"]), (paragraph, ["p"]), (lambda said: card("x", said, ""), ["div", "p", "p", "p"])],
)
@given(said=st.text(alphabet="<>&\"'/script aon=", min_size=1))
def test_no_text_can_be_markup(make, tags, said):
    read = ET.fromstring(make(said))
    assert [element.tag for element in read.iter()] == tags
    assert "".join(read.itertext()).removeprefix("x") == said


def test_names_in_the_map_and_in_heads_are_escaped():
    evil = "<script>alert(1)</script>"
    drawn = heat_map(np.array([[0, 1], [0, 0]]), np.array([2, 1]), [evil, "b"])
    made = drawn + table("t", [evil], [[text(evil)]], long=True) + document(evil, evil, [Section("s", evil, evil, "")])
    assert made.count("<script") == 1  # the page's own
    assert "1 of 2 clips (50%)" in drawn


def test_numbers_are_shown_rounded_and_sorted_by_value():
    assert number(0.12345, ".3f") == '<td class="n" data-v="0.12345">0.123</td>'
    assert 'style="--p:0.5000"' in number(0.5, ".0%", bar=True)
