"""A document's files: report.html, report.md, tables as CSV and LaTeX, figures as PNG and SVG."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tamis.core.files import write_atomically
from tamis.report.document import Document, Paragraph, Picture, Pictures, Table, count, text_of
from tamis.report.html import to_html

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "Å": r"\AA{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "<": r"$<$",
    ">": r"$>$",
    "²": r"$^2$",
    "³": r"$^3$",
    "−": r"$-$",
}
ESCAPES = str.maketrans(LATEX)


def write_document(document: Document, folder: Path) -> None:
    """Write everything into ``folder``."""
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for section in document.sections:
        for part in section.parts:
            if isinstance(part, Table):
                _write_csv(part, folder / "tables" / f"{part.name}.csv")
                write_atomically(folder / "tables" / f"{part.name}.tex", to_latex(part).encode())
            elif isinstance(part, Pictures):
                for picture in part.pictures:
                    if isinstance(picture, Picture):  # a drawing is a file already
                        _write_picture(picture, folder / "figures")
    write_atomically(folder / "report.md", to_markdown(document).encode())
    write_atomically(folder / "report.html", to_html(document).encode())


def _write_csv(table: Table, path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([heading.replace("\n", " ") for heading in table.columns])
    writer.writerows([[text_of(cell) for cell in row] for row in table.rows])
    write_atomically(path, text.getvalue().encode())


def to_latex(table: Table) -> str:
    """A tabular for booktabs, without float around it; the title is a comment."""
    lines = [
        f"% {' '.join(table.title.split())}",
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        r"\toprule",
    ]
    lines += [" & ".join(map(_latex, table.columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex(text_of(cell)) for cell in row) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(text: str) -> str:
    return text.replace("\n", " ").translate(ESCAPES)


def to_markdown(document: Document) -> str:
    """The same text and tables; figures by their files."""
    return "\n".join(_markdown(document)) + "\n"


def _markdown(document: Document) -> Iterator[str]:
    yield f"# {document.title}\n\n{document.subtitle}\n"
    for section in document.sections:
        if section.parts:
            yield f"## {section.title}\n"
        for part in section.parts:
            if isinstance(part, Paragraph):
                yield f"**{part.text}**\n" if part.strong else f"{part.text}\n"
            elif isinstance(part, Table):
                yield from _markdown_table(part)
            elif isinstance(part, Pictures):
                for picture in part.pictures:
                    if isinstance(picture, Picture):
                        yield f"![{picture.caption}](figures/{picture.name}.svg)\n"


def _markdown_table(table: Table) -> Iterator[str]:
    if table.folded:
        yield f"{table.title}: {count(len(table.rows), 'row')} in tables/{table.name}.csv\n"
        return
    yield f"{table.title}\n"
    yield _line([heading.replace("\n", " ") for heading in table.columns])
    yield "|" + "---|" * len(table.columns)
    for row in table.rows[: table.most]:
        yield _line([text_of(cell) for cell in row])
    yield f"\n{table.notes}\n" if table.notes else ""


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |"


def _write_picture(picture: Picture, folder: Path) -> None:
    write_atomically(folder / f"{picture.name}.png", picture.png)
    write_atomically(folder / f"{picture.name}.svg", picture.svg.encode())
