"""A document as one HTML file: no scripts, nothing from elsewhere, light and dark, from a phone to a wide screen."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html import escape

from tamis.report.document import (
    Cell,
    Document,
    Drawing,
    Paragraph,
    Part,
    Picture,
    Pictures,
    Section,
    Table,
    count,
)
from tamis.report.style import INK

STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --ink: #1c2430; --soft: #5b6675; --line: #d8dde4;
  --panel: #f5f7f9; --own: #fff3d1; --good: #17703f; --bad: #b3261e; --link: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --back: #14181e; --ink: #e4e8ee; --soft: #9aa5b3; --line: #333b46;
  --panel: #1c222a; --own: #43391c; --good: #69c992; --bad: #ff8f87; --link: #85b7f2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1.2rem 4rem; max-width: 66rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .6rem 0 .2rem; } h2 { font-size: 1.25rem; margin: 1.6rem 0 .3rem;
  border-top: 1px solid var(--line); padding-top: .7rem; }
p { margin: .5rem 0; } p.sub, p.notes, figcaption { color: var(--soft); font-size: .88rem; }
p.strong { border-left: 4px solid var(--link); padding: .3rem .8rem; background: var(--panel); }
nav { font-size: .9rem; margin: .6rem 0; } nav a { margin-right: 1.1rem; white-space: nowrap; }
a { color: var(--link); }
.scroll { overflow-x: auto; margin: .6rem 0 .2rem; max-width: 100%; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
p.title { font-weight: 600; font-size: .92rem; margin: 1.1rem 0 0; }
th { text-align: left; vertical-align: bottom; }
th, td { padding: .22rem .6rem; border-bottom: 1px solid var(--line); } td { white-space: nowrap; }
td.words { white-space: normal; min-width: 16rem; } td.own { background: var(--own); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: .8rem; }
figure { margin: .6rem auto; max-width: 34rem; } figure svg { width: 100%; height: auto; color: var(--ink); }
.wide figure { max-width: none; } figure img { width: 100%; height: auto; background: #fff; }
@media (max-width: 40rem) { table { font-size: .8rem; } th, td { padding: .18rem .35rem; } }
details { margin: .6rem 0; } summary { cursor: pointer; }
"""
WEB = ("http://", "https://")
FOLDED = 12
"""Rows from which on a table is shown only when asked for."""
LONG_TEXT = 60
"""Characters from which on a cell may break into lines."""


def to_html(document: Document) -> str:
    """The whole page."""
    sections = [section for section in document.sections if section.parts]
    links = "\n".join(f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    body = "\n".join(line for i, section in enumerate(sections) for line in _section(section, i))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(document.title)}</h1>\n<p class="sub">{escape(document.subtitle)}</p>\n'
        f"<nav>\n{links}\n</nav>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, number: int) -> Iterator[str]:
    yield f'<h2 id="s{number}">{escape(section.title)}</h2>'
    for part in section.parts:
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Paragraph):
        yield f'<p class="strong">{escape(part.text)}</p>' if part.strong else f"<p>{escape(part.text)}</p>"
    elif isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Pictures):
        yield f'<div class="{"wide" if part.wide else "grid"}">'
        for picture in part.pictures:
            if isinstance(picture, Drawing):
                data = base64.b64encode(picture.png).decode()
                yield f'<figure><img alt="{escape(picture.name)}" src="data:image/png;base64,{data}"></figure>'
            else:
                yield f"<figure>{_svg(picture)}<figcaption>{escape(picture.caption)}</figcaption></figure>"
        yield "</div>"


def _table(table: Table) -> Iterator[str]:
    folded = table.folded or len(table.rows) > FOLDED
    if folded:
        yield f"<details><summary>{escape(table.title)} ({count(len(table.rows), 'row')})</summary>"
    else:
        yield f'<p class="title">{escape(table.title)}</p>' if table.title else ""
    yield '<div class="scroll"><table>'
    yield f"<thead><tr>{''.join(f'<th>{escape(c)}</th>' for c in table.columns)}</tr></thead><tbody>"
    for row in table.rows[: table.most]:
        yield f"<tr>{''.join(map(_cell, row))}</tr>"
    yield "</tbody></table></div>"
    if len(table.rows) > table.most:
        yield f'<p class="notes">{table.most} of {len(table.rows)} rows; all are in tables/{table.name}.csv</p>'
    if table.notes:
        yield f'<p class="notes">{escape(table.notes)}</p>'
    if folded:
        yield "</details>"


def _cell(cell: Cell | str) -> str:
    cell = Cell(cell) if isinstance(cell, str) else cell
    text = escape(cell.text)
    if cell.link.startswith(WEB):  # another scheme could be a script
        text = f'<a href="{escape(cell.link)}">{text}</a>'
    if cell.tone:
        text = f'<span class="{cell.tone}">{text}</span>'
    classes = " ".join([*(["own"] if cell.mark else []), *(["words"] if len(cell.text) > LONG_TEXT else [])])
    return f'<td class="{classes}">{text}</td>' if classes else f"<td>{text}</td>"


def _svg(picture: Picture) -> str:
    """The picture as inline SVG whose ink has the colour of the page's text."""
    svg = picture.svg
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'width="[^"]*pt" height="[^"]*pt"', "", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(picture.caption)}" ', 1)
