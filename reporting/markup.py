"""Pieces of HTML.  Whatever goes in as text is escaped here, so that no label or file name can be markup."""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

DASH = "\N{EN DASH}"  # where there is nothing to tell


@dataclass(frozen=True)
class Section:
    """A part of the page; `lead` is text, `body` is HTML."""

    name: str  # of its anchor
    title: str
    lead: str
    body: str


def text(value: object) -> str:
    """A table cell of text, which may be broken after underscores."""
    return f"<td>{escape(str(value)).replace('_', '_<wbr>')}</td>"


def number(value: float | None, spec: str, bar: bool = False) -> str:
    """A table cell of a number, None a dash, sorted by its value; with a bar as long as the value, then in [0, 1]."""
    if value is None:
        return f'<td class="n" data-v="-1">{DASH}</td>'
    style = f' style="--p:{value:.4f}"' if bar else ""
    return f'<td class="n{" bar" if bar else ""}" data-v="{value:.6g}"{style}>{value:{spec}}</td>'


def table(name: str, heads: list[str], rows: list[list[str]], long: bool = False) -> str:
    """A table of cells made by the functions above; a long one can be sorted and filtered."""
    head, search, kind, shown = "", "", "", "{}"
    if long:
        search = f'<label class="filter"><span>Show only</span><input type="search" data-for="{name}"></label>'
        kind, shown = ' class="sortable"', '<button type="button">{}</button>'
    for i, title in enumerate(heads):
        of_numbers = ' class="n"' if rows and rows[0][i].startswith('<td class="n') else ""
        head += f'<th scope="col"{of_numbers}>{shown.format(escape(title))}</th>'
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'{search}<div class="scroll" tabindex="0"><table id="{name}"{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def card(title: str, value: str, note: str = "", main: bool = False) -> str:
    """A figure in large type."""
    return (
        f'<div class="card{" main" if main else ""}"><p class="what">{escape(title)}</p>'
        f'<p class="value">{escape(value)}</p><p class="note">{escape(note)}</p></div>'
    )


def paragraph(sentence: str) -> str:
    """A paragraph of plain text."""
    return f'<p class="said">{escape(sentence)}</p>'


def data_uri(kind: str, content: bytes) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def document(
    title: str, lead: str, sections: list[Section], kicker: str = "Audio tagging report", code: str = "page.js",
    media: str = "data:",
) -> str:  # fmt: skip
    """The whole page.  Its policy lets nothing be loaded and no script run but ours, whatever a label may hold.

    code: its script, a file beside this one.  media: where sound may come from.
    """
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", code))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        f"img-src data:; media-src {media}; base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<a href="#{part.name}">{escape(part.title)}</a>' for part in sections)
    body = "".join(
        f'<section id="{part.name}"><h2>{escape(part.title)}</h2><p class="lead">{escape(part.lead)}</p>'
        f"{part.body}</section>"
        for part in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f'<body><header><p class="kicker">{kicker}</p><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p><nav>{links}</nav></header><main>{body}</main>'
        f"<script>{script}</script></body></html>\n"
    )
