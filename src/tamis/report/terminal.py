"""Tables of a document in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Terminal

from tamis.report.document import Cell, Table, text_of

TONES = {"good": "green", "bad": "red"}


def console_of(width: int = 120) -> Console:
    """The console; a file or a pipe has no width, and gets one that holds every table."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def show(table: Table, console: Console, n_words: int = 1) -> None:
    """Print a table. The first ``n_words`` columns hold words, which stand on the left."""
    shown = Terminal(box=box.SIMPLE_HEAD, title=escape(table.title), title_justify="left")
    shown.caption, shown.caption_justify = escape(table.notes), "left"
    for i, heading in enumerate(table.columns):
        shown.add_column(escape(heading), justify="left" if i < n_words else "right", overflow="fold")
    for i, row in enumerate(table.rows):
        if i in table.breaks:
            shown.add_section()
        shown.add_row(*map(_cell, row))
    console.print(shown)


def _cell(cell: Cell | str) -> str:
    text = escape(text_of(cell))
    tone = "" if isinstance(cell, str) else TONES.get(cell.tone, "")
    return f"[{tone}]{text}[/]" if tone else text
