"""Which label ranks above which, as a map in SVG that names its cells where the pointer rests."""

from html import escape

import numpy as np

CELL, LETTER, SLANT = 20, 7.2, 55  # pixels of a cell and of a letter; degrees of the names on top
LONGEST = 22  # letters of a name


def heat_map(counts: np.ndarray, clips: np.ndarray, names: list[str], said: str = "{1} above it") -> str:
    """SVG of counts (n, n) as shares of the clips (n,) of each row; the largest share has the full colour.

    said: what a count tells of the row's and the column's class, {0} and {1}.  Counts on the diagonal are drawn too.
    """
    shares = counts / np.maximum(clips, 1)[:, None]
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    longest = LETTER * max(map(len, short))
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
        words = said.format(names[t], names[w])
        title = escape(f"{names[t]}: {words} in {counts[t, w]} of {clips[t]} clips ({shares[t, w]:.0%})")
        strength = f'fill-opacity="{shares[t, w] / shares.max():.3f}"'
        parts.append(f"{cell(t, w, 'hit')} {strength}><title>{title}</title></rect>")
    width, height = left + side + overhang, top + side + 4
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Heat map of confusions">{"".join(parts)}</svg>'
    )
