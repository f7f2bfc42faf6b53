"""Small charts as inline SVG whose colours are CSS variables of the page, so that they follow light and dark."""

from collections.abc import Callable
from html import escape

import numpy as np

WIDTH, LETTER = 302, 6  # pixels of a chart, which the page enlarges, and of a digit
HUES = 10  # of folds, --hue-0 and so on in page.css
CELL, SLANT, LONGEST = 20, 55, 22  # of the map: pixels of a cell; degrees of the names on top, and their letters

Limits = tuple[float, float]


def curves(lines: list[tuple[list[float], list[float]]], title: str, floor: bool = False) -> str:
    """A line per fold over the steps; with a floor the axis starts at zero."""
    steps, values = (_limits(np.concatenate([line[axis] for line in lines])) for axis in (0, 1))
    svg, place = _axes(title, steps, (0.0, values[1]) if floor else values, "step", least=1)
    for number, line in enumerate(lines):
        dots = len(line[0]) if len(line[0]) < 20 else 0
        svg += _line(place(*line), np.full(dots, 1.5), number)
    return f"{svg}</svg>"


def reliability_chart(tables: list[tuple[np.ndarray, ...]], title: str) -> str:
    """Share of true labels over mean probability (bins,), beside the diagonal of a perfect model; a line a table.

    tables: each as `classes.reliability` gives it.  The area of a dot grows with the logarithm of how many
    (clip, class) pairs it stands for.
    """
    svg, place = _axes(title, (-0.02, 1.02), (-0.02, 1.02), "probability given", "share of true labels", height=260)
    (x1, y1), (x2, y2) = place([0, 1], [0, 1])
    svg += f'<path d="M{x1} {y1}L{x2} {y2}" stroke="currentColor" stroke-dasharray="3" opacity="0.5"/>'
    for number, (mean, share, count) in enumerate(tables):
        full = count > 0
        svg += _line(place(mean[full], share[full]), np.sqrt(3.5 * np.log10(1 + count[full])), number)
    return f"{svg}</svg>"


def heat_map(counts: np.ndarray, clips: np.ndarray, names: list[str], said: str = "{} above it") -> str:
    """SVG of counts (n, n) as shares of the clips (n,) of each row; the largest share has the full colour.

    said: what a count tells of the column's class, {}.  Counts on the diagonal are drawn too.
    """
    shares = counts / np.maximum(clips, 1)[:, None]
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    longest = 7.2 * max(map(len, short))
    left, top = round(longest) + 12, round(longest * np.sin(np.radians(SLANT))) + 16
    side, overhang = CELL * len(names), round(longest * np.cos(np.radians(SLANT)))

    def cell(row: int, column: int, kind: str) -> str:
        x, y = left + column * CELL + 1, top + row * CELL + 1
        return f'<rect class="{kind}" x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}"'

    parts = [f'<rect class="field" x="{left}" y="{top}" width="{side}" height="{side}"/>']
    for i, name in enumerate(short):
        middle = i * CELL + CELL // 2 + 4
        above = f"translate({left + middle} {top - 8}) rotate({-SLANT})"
        parts.append(f'<text x="{left - 8}" y="{top + middle}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text transform="{above}">{escape(name)}</text>{cell(i, i, "self")}/>')
    for t, w in zip(*np.nonzero(counts), strict=True):
        title = f"{names[t]}: {said.format(names[w])} in {counts[t, w]} of {clips[t]} clips ({shares[t, w]:.0%})"
        strength = f'fill-opacity="{shares[t, w] / shares.max():.3f}"'
        parts.append(f"{cell(t, w, 'hit')} {strength}><title>{escape(title)}</title></rect>")
    width, height = left + side + overhang, top + side + 4
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Heat map of confusions">{"".join(parts)}</svg>'
    )


def colour(number: int) -> str:
    """Of the fold of that number, in CSS."""
    return f"var(--hue-{number % HUES})"


def _limits(values: np.ndarray) -> Limits:
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low or abs(high) or 1)
    return low - margin, high + margin


def _ticks(low: float, high: float, least: float = 0) -> dict[float, str]:
    """Round numbers within the limits, up to seven, `least` or more apart, and how they are written."""
    power = 10 ** np.floor(np.log10((high - low) / 6))
    step = max(least, next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 6))
    ticks = step * np.arange(np.ceil(low / step), np.floor(high / step) + 1) + 0.0  # which makes -0 a 0
    return {tick: f"{tick:g}" for tick in ticks}


def _axes(
    title: str, x: Limits, y: Limits, x_label: str, y_label: str = "", height: int = 194, least: float = 0
) -> tuple[str, Callable[..., np.ndarray]]:
    """The beginning of a chart, up to its ticks, and what turns x and y (n,) into places on it (n, 2).

    least: the smallest step between ticks of x.  Without a label of y, there are no rules across x.
    """
    x_ticks, y_ticks = _ticks(*x, least), _ticks(*y)
    left, right = LETTER * max(map(len, y_ticks.values())) + (26 if y_label else 8), WIDTH - 8
    top, bottom = 8, height - 32

    def place(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        return np.column_stack([np.interp(xs, x, (left, right)), np.interp(ys, y, (bottom, top))]).round(2)

    rules = f"M{left} {bottom}H{right}"
    texts = f'<text x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">{x_label}</text>'
    texts += f'<text transform="translate(11 {(top + bottom) / 2})rotate(-90)" text-anchor="middle">{y_label}</text>'
    for tick, label in x_ticks.items():
        across = place(tick, 0)[0, 0]
        texts += f'<text x="{across}" y="{bottom + 13}" text-anchor="middle">{label}</text>'
        rules += f"M{across} {bottom}V{top}" if y_label else ""
    for tick, label in y_ticks.items():
        down = place(0, tick)[0, 1]
        texts += f'<text x="{left - 4}" y="{down + 3.4:.2f}" text-anchor="end">{label}</text>'
        rules += f"M{left} {down}H{right}"
    look = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}" font-size="9.5" fill="currentColor"'
    return f'<svg {look}><path d="{rules}" style="stroke: var(--rule)" stroke-width="0.8"/>{texts}', place


def _line(points: np.ndarray, radii: np.ndarray, number: int) -> str:
    """The line of a fold through points (n, 2), with dots on the first of them."""
    path, marks = " ".join(f"{x},{y}" for x, y in points), np.column_stack([points[: len(radii)], radii])
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="{r:.2f}" stroke="none"/>' for x, y, r in marks)
    line = f'<polyline points="{path}" fill="none" stroke-width="1.6"/>'
    return f'<g style="stroke: {colour(number)}; fill: {colour(number)}" stroke-linejoin="round">{line}{dots}</g>'
