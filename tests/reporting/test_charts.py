"""Charts: well-formed SVG in the page's colours, that reaches nothing outside of itself."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from reporting.charts import HUES, curves, reliability_chart, swatch


@pytest.fixture(scope="module")
def charts() -> dict[str, str]:
    bins = np.array([0.1, np.nan, 0.8]), np.array([0.2, np.nan, 0.7]), np.array([100, 0, 3])
    return {
        "curves": curves([([10, 20], [3.0, 1.0]), ([10, 20], [3.5, 1.5])], "Loss"),
        "many": curves([([1], [0.5])] * (HUES + 1), "Loss", floor=True),
        "reliability": reliability_chart(*bins, "Reliability"),
    }


def test_each_is_well_formed_named_and_brings_no_style_no_font_no_colour_and_no_id_but_of_marks_and_clips(charts):
    for svg in charts.values():
        assert ET.fromstring(svg).get("aria-label") in ("Loss", "Reliability")
        assert "<style" not in svg
        assert "font-family" not in svg
        assert all(re.fullmatch(r"[mpC][0-9a-f_]+", name) for name in re.findall(r' id="([^"]*)"', svg))
        assert not re.findall(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'href="[^"]*"|url\([^)]*\)', "", svg))
    assert "var(--hue-1)" in charts["curves"]
    assert "var(--hue-2)" not in charts["curves"]
    assert f"var(--hue-{HUES}" not in charts["many"]


def test_more_folds_than_colours_have_lines_and_keys_of_other_dashes():
    chart = curves([([1, 2], [float(number), 1.0]) for number in range(20)], "many")
    assert chart.count("stroke-dasharray: 6.4,3.2") == 8
    keys = [swatch(number) for number in range(20)]
    assert len(set(keys)) == 20
    assert keys[0] == "var(--hue-0)"


def test_the_same_figures_give_the_same_bytes(charts):
    assert curves([([10, 20], [3.0, 1.0]), ([10, 20], [3.5, 1.5])], "Loss") == charts["curves"]
