"""The parts of a report: sections of paragraphs, tables and figures, in any format, and numbers as they are printed."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # tables of the terminal need no figures, which take long to import
    from matplotlib.figure import Figure as Canvas

PNG_DPI = 150


@dataclass(frozen=True)
class Cell:
    """A cell of a table. mark: of the own descriptor. tone: ``good``, ``bad`` or empty. link: address, or empty."""

    text: str
    mark: bool = False
    tone: str = ""
    link: str = ""


Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Paragraph:
    """Plain text. strong: what a reader should not miss."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """name: of its files (no spaces). title: in one line. columns: headings. rows: as many cells each. notes: below.

    folded: shown in the page only when asked for. most: rows that the page shows; the files have all. breaks: numbers
    of rows before which the terminal leaves a line.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: str = ""
    folded: bool = False
    most: int = 200
    breaks: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """name: of its files. caption: what is to be seen, in words, for those who do not see it as well.

    tips: gid of a line's marks in the canvas -> what a pointer over each mark shows.
    """

    name: str
    caption: str
    canvas: Canvas
    tips: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def svg(self) -> str:
        """As SVG with text that stays text, on no ground of its own; made once, for the page and for the file."""
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        self._settle()
        stream = io.StringIO()
        grounds = [self.canvas.patch, *(ax.patch for ax in self.canvas.axes)]
        for ground in grounds:
            ground.set_visible(False)
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            FigureCanvasSVG(self.canvas).print_svg(stream, metadata={"Date": None})
        for ground in grounds:
            ground.set_visible(True)
        return with_tips(stream.getvalue(), self.tips)

    @cached_property
    def png(self) -> bytes:
        """As PNG."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self._settle()
        stream = io.BytesIO()
        self.canvas.dpi = PNG_DPI
        FigureCanvasAgg(self.canvas).print_png(stream)
        return stream.getvalue()

    def _settle(self) -> None:
        """Find the layout once: it takes as long as drawing, and ``savefig`` would draw twice."""
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        if isinstance(self.canvas.get_layout_engine(), ConstrainedLayoutEngine):
            self.canvas.draw_without_rendering()
            self.canvas.set_layout_engine("none")


@dataclass(frozen=True)
class Drawing:
    """A picture that a trial left. name: in words. png: its bytes."""

    name: str
    png: bytes


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, as many as the page is wide; wide ones below each other."""

    pictures: Sequence[Picture | Drawing]
    wide: bool = False


Part = Paragraph | Table | Pictures


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it. Without parts it is left out."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=list)


def with_tips(svg: str, tips: Mapping[str, Sequence[str]]) -> str:
    """Give the marks of a matplotlib drawing their titles, which browsers show under the pointer; no script."""
    for gid, texts in tips.items():
        before, after = svg.split(f'<g id="{gid}">', 1)
        marks = re.split(r"(<use [^>]*)/>", after, maxsplit=len(texts))  # text, mark, text, mark, ..., text
        titled = [
            f"{mark}><title>{escape(title)}</title></use>{text}"
            for mark, text, title in zip(marks[1::2], marks[2::2], texts, strict=True)
        ]
        marked = "".join([marks[0], *titled])
        svg = f'{before}<g id="{gid}">{marked}'
    return svg


def text_of(cell: Cell | str) -> str:
    """The cell's text, with ``= `` before it where it belongs to the own descriptor."""
    if isinstance(cell, str):
        return cell
    return f"= {cell.text}" if cell.mark else cell.text


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits; empty for None and NaN."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def p_value(p: float) -> str:
    """Two digits, and no more zeros than anyone believes."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(n: int, noun: str) -> str:
    """``1 split``, ``2 splits``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
