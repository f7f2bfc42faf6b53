"""Small charts as inline SVG whose colours are CSS variables of the page, so that they follow light and dark."""

import io
import logging
import re

import numpy as np

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of its caches it tells on stderr
import matplotlib  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

SIZE = (4.2, 2.7)  # inches; the page shows 72 of its pixels for one, or more
HUES = 8  # of folds, --hue-0 and so on in page.css
STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)))  # of the first folds, of those after HUES, after twice as many
INK, RULE = "#010101", "#010102"  # stand-ins until the page's own are put in
RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.axisbelow": True,
}


def curves(lines: list[tuple[list[float], list[float]]], title: str, floor: bool = False) -> str:
    """A line per fold over the steps; with a floor the axis starts at zero."""
    with matplotlib.rc_context(RC):
        figure, axes = _blank()
        for number, (steps, values) in enumerate(lines):
            look = {"color": _stand_in(number), "linestyle": STYLES[number // HUES % len(STYLES)], "linewidth": 1.6}
            axes.plot(steps, values, marker="o" if len(steps) < 20 else None, markersize=3, clip_on=False, **look)
        axes.set_xlabel("step")
        if floor:
            axes.set_ylim(bottom=0)
        return _svg(figure, title)


def reliability_chart(mean: np.ndarray, share: np.ndarray, count: np.ndarray, title: str) -> str:
    """Share of true labels over mean probability (bins,), beside the diagonal of a perfect model.

    The area of a dot grows with the logarithm of how many (clip, class) pairs it stands for.
    """
    with matplotlib.rc_context(RC | {"axes.grid.axis": "both"}):
        figure, axes = _blank((4.2, 3.6))
        full = count > 0
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (3, 3)), alpha=0.5)
        axes.plot(mean[full], share[full], color=_stand_in(0), linewidth=1.6)
        axes.scatter(mean[full], share[full], 14 * np.log10(1 + count[full]), color=_stand_in(0), zorder=3)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability given", ylabel="share of true labels")
        return _svg(figure, title)


def hue(number: int) -> str:
    """The CSS colour of the fold of that number."""
    return f"var(--hue-{number % HUES})"


def swatch(number: int) -> str:
    """The CSS background of the legend's patch for the fold of that number: its colour, dashed as its line is."""
    dash = ("", "4px, #0000 4px 6px", "2px, #0000 2px 4px")[number // HUES % len(STYLES)]
    return f"repeating-linear-gradient(90deg, {hue(number)} 0 {dash})" if dash else hue(number)


def _stand_in(number: int) -> str:
    return f"#0203{number % HUES:02x}"


def _blank(size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    figure = Figure(size, layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True) if size == SIZE else MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    """The drawing alone: no style sheet, which would reach the whole page, no ids twice, no fonts of its own."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{title}">', svg)
    svg = svg.replace("xlink:href", "href").replace(INK, "currentColor").replace(RULE, "var(--rule)")
    svg = re.sub(r"#0203([0-9a-f]{2})", lambda match: hue(int(match[1], 16)), svg)
    return re.sub(r"\s*\n\s*", " ", svg)
