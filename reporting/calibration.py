"""Section: whether a probability of 0.7 is right seven times in ten."""

import numpy as np

from reporting.analysis import calibration_error, reliability
from reporting.charts import reliability_chart
from reporting.markup import Section, blank, number, table, text
from reporting.results import Results

BINS = 10


def calibration_section(results: Results) -> Section:
    """The reliability of the out-of-fold probabilities as a chart and as a table."""
    mean, share, count = reliability(*results.held_out(), BINS)
    edges = np.linspace(0, 1, BINS + 1)
    rows = []
    for i in range(BINS):
        measured = [number(mean[i], ".3f"), number(share[i], ".3f")] if count[i] else [blank(), blank()]
        rows.append([text(f"{edges[i]:.1f} to {edges[i + 1]:.1f}"), *measured, number(int(count[i]), ",d")])
    chart = reliability_chart(mean, share, count, "Reliability of the probabilities")
    bins = table("bins", ["probability", "mean", "true", "pairs"], rows, sortable=False)
    lead = (
        "Every pair of a curated clip and a class, out of fold. On the dashed line probabilities are what they claim; "
        "above it the model is too cautious, below it too sure. A dot's size tells how many pairs it stands for. "
        f"Expected calibration error {calibration_error(mean, share, count):.4f}."
    )
    body = f'<div class="halves even"><figure class="chart large">{chart}</figure><div>{bins}</div></div>'
    return Section("calibration", "Calibration", lead, body)
