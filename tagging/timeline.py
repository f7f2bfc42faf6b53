"""A recording's scores per second, as a picture and as a table."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagging.stream import Timeline
from utils.atomic import atomic_write
from utils.errors import one_line

ROWS = 12  # labels of a picture
LETTERS = 90  # of the title at most: the last ones, where the file's own name stands
COLUMNS = 1200  # of a picture at most; more seconds than that share one, and it shows their highest score
ACTIVE = 0.1  # a label that never scores this much is not worth a row, unless no label does
STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]  # seconds between the times on the axis
INK, QUIET, PAPER = "#1f2933", "#7b8794", "#e4e7eb"  # text, secondary text, silence
GREYS = ["#fafbfc", "#c3cad1"]  # of what is under its threshold
SHADES = ["#f5f7fa", "#b9e3d9", "#4fb3a9", "#1b7f8c", "#10516f", "#0b2545"]  # of probabilities from 0 to 1


def write_timeline(
    picture: Path, timeline: Timeline, class_names: list[str], fname: str, thresholds: np.ndarray | None = None
) -> None:
    """Write the PNG and, beside it, the CSV: a row per second, a column per class, empty where it is silent.

    Both say which file they are of.  thresholds: (C,); the picture has what is below them in grey.
    """
    table = pd.DataFrame(timeline.scores, columns=class_names)
    table.index = pd.MultiIndex.from_product([[fname], table.index], names=["fname", "second"])
    with atomic_write(picture.with_suffix(".csv"), "w") as file:
        table.to_csv(file, float_format="%.7g")
    png = draw_timeline(timeline, class_names, fname, thresholds)
    with atomic_write(picture) as file:
        file.write(png)


def draw_timeline(
    timeline: Timeline, class_names: list[str], title: str, thresholds: np.ndarray | None = None
) -> bytes:
    """A PNG: the wave over a map of the most active labels, those first that sound first; grey where it is silent.

    thresholds: (C,); what is below them is in shades of grey.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure  # imported when drawn: it takes a second
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    rows, seconds = choose_rows(timeline.scores), len(timeline.scores)
    figure = Figure(figsize=(11, 1.9 + 0.33 * len(rows)), dpi=120, layout="constrained", facecolor="white")
    wave, heat = figure.subplots(2, 1, sharex=True, height_ratios=[0.8, 0.33 * len(rows)])
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08, hspace=0.02)
    _draw_wave(wave, pooled(timeline.levels.reshape(1, -1))[0], seconds)
    colours = LinearSegmentedColormap.from_list("scores", SHADES).with_extremes(bad=PAPER)
    columns = pooled(timeline.scores[:, rows].T)
    how = {"aspect": "auto", "interpolation": "nearest", "vmin": 0, "extent": (0, seconds, len(rows) - 0.5, -0.5)}
    image = heat.imshow(columns, cmap=colours, vmax=1, **how)
    if thresholds is not None:
        least = thresholds[rows][:, None]
        grey = LinearSegmentedColormap.from_list("below", GREYS)
        heat.imshow(np.ma.masked_array(columns / least, ~(columns < least)), cmap=grey, vmax=1, **how)
    _name_silence(heat, np.isnan(columns[0]), seconds, len(rows))
    heat.set_yticks(range(len(rows)), [one_line(class_names[row], 34) for row in rows], parse_math=False)
    heat.hlines(np.arange(len(rows) - 1) + 0.5, 0, seconds, color="white", linewidth=2.5)
    heat.xaxis.set_major_locator(MultipleLocator(next((step for step in STEPS if step >= seconds / 10), seconds)))
    heat.xaxis.set_major_formatter(FuncFormatter(lambda at, _: clock(at)))
    bar = figure.colorbar(image, ax=heat, pad=0.012, aspect=14, ticks=[0, 0.5, 1])
    bar.set_label("probability", color=QUIET)
    for axes in (wave, heat, bar.ax):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelcolor=QUIET)
    heat.tick_params(axis="y", labelcolor=INK)
    wave.set_title(one_line(title[-LETTERS:]), loc="left", color=INK, fontweight="bold", parse_math=False)

    png = io.BytesIO()
    with warnings.catch_warnings():  # a letter that the font lacks becomes a box
        warnings.simplefilter("ignore")
        figure.savefig(png, format="png")
    return png.getvalue()


def choose_rows(scores: np.ndarray) -> list[int]:
    """The classes whose scores (S, C) are highest in any second, in the order of their best seconds."""
    scores = np.nan_to_num(scores)
    peaks = scores.max(axis=0)
    best = np.argsort(-peaks, kind="stable")[:ROWS]
    active = [int(row) for row in best if peaks[row] >= ACTIVE] or best[:3].tolist()
    return sorted(active, key=lambda row: int(scores[:, row].argmax()))


def pooled(rows: np.ndarray) -> np.ndarray:
    """(R, S) -> (R, at most COLUMNS): the highest of the seconds that share a column; NaN where all are."""
    width = -(-rows.shape[1] // COLUMNS)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % width)), constant_values=np.nan)
    return np.fmax.reduce(padded.reshape(len(rows), -1, width), axis=2)


def clock(second: float) -> str:
    """ "1:05", "1:00:00"."""
    minutes, seconds = divmod(round(second), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _draw_wave(axes: Any, height: np.ndarray, seconds: float) -> None:
    time = (np.arange(len(height)) + 0.5) * seconds / len(height)
    height = height / max(height.max(), 1e-9)
    axes.fill_between(time, -height, height, color="#52606d", linewidth=0.5)
    axes.set(xlim=(0, seconds), ylim=(-1.05, 1.05), yticks=[])


def _name_silence(axes: Any, silent: np.ndarray, seconds: float, n_rows: int) -> None:
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False)).reshape(-1, 2) * seconds / len(silent)
    for first, last in edges[np.ptp(edges, axis=1) > seconds / 50]:
        middle = (first + last) / 2, (n_rows - 1) / 2
        axes.text(*middle, "silence", color=QUIET, ha="center", va="center", rotation=90, zorder=3)
