"""A web page in one file: sections, tables and figures as HTML, for wide and narrow, light and dark screens."""

import html
from collections.abc import Sequence
from pathlib import Path

from fanet.errors import printable
from fanet.files import atomic_path

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1e; --faint: #5c6066; --line: #d8dade; --card: #f5f6f8;
  --accent: 31 95 191; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e8eaed; --faint: #a3a8b0; --line: #363a40;
  --card: #1e2125; --accent: 92 152 245; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 3vw, 2rem) 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
h4 { font-size: .95rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; max-width: 50rem; }
.faint, figcaption, caption { color: var(--faint); font-size: .875rem; }
.wide { overflow-x: auto; container-type: inline-size; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; position: sticky; left: 0; max-width: 100cqi; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 600; }
tbody th, thead th:first-child { text-align: left; font-weight: 400; }
td[style] { background: rgb(var(--accent) / calc(var(--share) * .55)); }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid var(--faint);
  border-radius: 2px; }
.row { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(45%, 11rem), 1fr)); }
.example { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem;
  margin: .8rem 0; }
.row.large { grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); }
.legend span { white-space: nowrap; margin-right: 1rem; }
.legend .swatch { margin-right: .5em; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; max-width: 28rem; border: 1px solid var(--line); }
img.coarse { image-rendering: pixelated; }
svg { display: block; width: 100%; height: auto; max-width: 28rem; }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } svg .curve { stroke: rgb(var(--accent)); fill: none; stroke-width: 2; }
svg .point { fill: rgb(var(--accent)); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; overflow-x: auto;
  font-size: .8rem; line-height: 1.4; }
summary { cursor: pointer; }
"""


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put into a page."""


def markup(value: object) -> Html:
    """Return a value as HTML: escaped, unless it is HTML."""
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value))))


def joined(parts: Sequence[object]) -> Html:
    """Return parts as HTML, one after another."""
    return Html("\n".join(map(markup, parts)))


def paragraph(text: object) -> Html:
    """Return a paragraph in small print."""
    return Html(f'<p class="faint">{markup(text)}</p>')


def section(title: str, *parts: object) -> Html:
    """Return a section of the page with its heading."""
    return Html(f"<section>\n<h2>{markup(title)}</h2>\n{joined(parts)}\n</section>")


def heading(text: str) -> Html:
    """Return a heading within a section."""
    return Html(f"<h3>{markup(text)}</h3>")


def row(parts: Sequence[object], large: bool = False) -> Html:
    """Return parts side by side, in as many columns as there is room for; large ones are alone on a phone."""
    return Html(f'<div class="{"row large" if large else "row"}">\n{joined(parts)}\n</div>')


def folded(title: str, text: str) -> Html:
    """Return preformatted text that opens at a click."""
    return Html(f"<details>\n<summary>{markup(title)}</summary>\n<pre>{markup(text)}</pre>\n</details>")


def table(caption: str, head: Sequence[object], rows: Sequence[Sequence[object]]) -> Html:
    """Return a table.

    Args:
        caption: What it shows.
        head: The names of the columns.
        rows: Cells, of which the first names the row; `shaded` makes one whose background says how large it is.
    """
    columns = "".join(f'<th scope="col">{markup(name)}</th>' for name in head)
    lines = [f'<tr><th scope="row">{markup(first)}</th>{"".join(map(_cell, cells))}</tr>' for first, *cells in rows]
    return Html(
        f'<div class="wide" tabindex="0" role="region" aria-label="{markup(caption)}">\n'
        f"<table>\n<caption>{markup(caption)}</caption>\n<thead><tr>{columns}</tr></thead>\n"
        f"<tbody>\n{joined(list(map(Html, lines)))}\n</tbody>\n</table>\n</div>"
    )


def shaded(text: object, share: float) -> Html:
    """Return a cell of a table with a background; `share` is how strong, 0..1."""
    return Html(f'<td style="--share:{share:.3g}">{markup(text)}</td>')


def _cell(value: object) -> Html:
    return value if isinstance(value, Html) and value.startswith("<td") else Html(f"<td>{markup(value)}</td>")


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Html]) -> None:
    """Write a page, whole or not at all.

    Raises:
        UserError: The folder does not exist or cannot be written to, or the disk is full.
    """
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{markup(title)}</h1>\n{paragraph(subtitle)}\n{joined(sections)}\n</main>\n</body>\n</html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
