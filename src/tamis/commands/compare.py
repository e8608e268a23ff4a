"""``tamis-compare``: runs side by side: what was different, what came out, which structures both kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Terminal

from tamis.commands.arguments import default_uri, new_name, read_arguments
from tamis.commands.endings import in_a_sentence
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.metrics import (
    KEPT_ATOMS,
    KEPT_STRUCTURES,
    MAES,
    PROPERTIES,
    STABLE_FRACTION,
    TEST,
    VALIDATION,
    error,
)
from tamis.records.record import RECORD_FILE, TrialRecord, read_record
from tamis.report.document import Cell, Document, Paragraph, Row, Section, Table, text_of
from tamis.report.html import to_html
from tamis.report.links import UI, Links, read_links
from tamis.report.words import number
from tamis.tracking.content import NO_PARAMS, flatten

USAGE = (
    "usage: tamis-compare <folder of a trial, or id of its MLflow run> <another>... [out=<new file>.html] "
    f"[tracking.uri=sqlite:///...] [ui={UI}]"
)
MAIN = (
    *(error(part, quantity) for part in (VALIDATION, TEST) for quantity in MAES),
    *(KEPT_STRUCTURES, KEPT_ATOMS),
)
MAIN_BEGINNINGS = (PROPERTIES, STABLE_FRACTION)


def main() -> None:
    """Entry point of the console script."""
    with in_a_sentence():
        options = {"out": "comparison.html", "tracking.uri": default_uri(), "ui": UI}
        runs, chosen = read_arguments(sys.argv[1:], options, USAGE)
        links = read_links(chosen["tracking.uri"], chosen["ui"])
        document = compare_runs([_folder(run, links) for run in runs], links)
        out = new_name(Path(chosen["out"]))
        write_atomically(out, to_html(document).encode())
    _print(document)
    Console(soft_wrap=True).print(f"page: {out.absolute()}", markup=False, highlight=False)


def _folder(run: Path, links: Links) -> Path:
    if (run / RECORD_FILE).is_file():
        return run.resolve()
    for folder, (_, run_id) in links.runs.items():
        if run_id == str(run):
            return Path(folder)
    raise TamisError(f"{run} is neither a folder with a {RECORD_FILE} nor the id of a run in MLflow; {USAGE}")


def compare_runs(folders: Sequence[Path], links: Links) -> Document:
    """The comparison as a document.

    Raises
    ------
    TamisError : fewer than two runs, or a record that cannot be read.
    """
    if len(folders) < 2:
        raise TamisError(f"one run is not compared with anything; give another. {USAGE}")
    records = [read_record(folder) for folder in folders]
    names = _names(folders)
    sections = [
        Section("Runs", [_runs(records, names, folders, links), *_warnings(records, names)]),
        Section("What was different", [_differences(records, names)]),
        Section("What came out", [*_metrics(records, names)]),
        Section("Kept structures in common", [_kept(records, names)]),
    ]
    return Document(f"Comparison of {' and '.join(names)}", "Numbers are of each run's last point.", sections)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names; with the folder above where two have the same."""
    short = [folder.name for folder in folders]
    return [f.name if short.count(f.name) == 1 else f"{f.parent.name}/{f.name}" for f in folders]


def _runs(
    records: Sequence[TrialRecord], names: Sequence[str], folders: Sequence[Path], links: Links
) -> Table:
    rows: list[Row] = []
    for record, name, folder in zip(records, names, folders, strict=True):
        link = links.run(folder)
        status = f"{record.status}: {record.reason}" if record.reason else record.status
        rows.append([Cell(name, link=link), status, record.versions.get("git", "?"), str(folder)])
    return Table("runs", "Runs", ["run", "status", "code", "folder"], rows)


def _warnings(records: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Paragraph]:
    prints = {record.dataset.fingerprint for record in records}
    if len(prints) > 1:
        yield Paragraph(
            "The runs have different data sets: their errors are not of the same test structures.",
            strong=True,
        )
    for record, name in zip(records, names, strict=True):
        for stage, reason in record.problems.items():
            yield Paragraph(f"{name}, {stage}: {reason}")


def _differences(records: Sequence[TrialRecord], names: Sequence[str]) -> Table:
    leaves = [dict(flatten(record.config)) for record in records]
    keys = list(dict.fromkeys(key for some in leaves for key in some if not key.startswith(NO_PARAMS)))
    rows = []
    for key in keys:
        values = [str(some[key]) if key in some else "" for some in leaves]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return Table("configuration", "Configuration, where it differs", ["", *names], rows)


def _metrics(records: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Table]:
    metrics = [record.measured for record in records]
    every = sorted({name for some in metrics for name in some})
    main = [n for n in MAIN if n in every] + [
        n for n in every if n.startswith(MAIN_BEGINNINGS) and n not in MAIN
    ]
    rest = [n for n in every if n not in main]
    columns = ["", *names, *(f"{name} / {names[0]}" for name in names[1:])]
    for name, title, chosen in (("metrics", "Metrics", main), ("more-metrics", "All other metrics", rest)):
        rows = [[metric, *_row([some.get(metric) for some in metrics])] for metric in chosen]
        yield Table(name, title, columns, rows, folded=chosen is rest, most=1000)


def _row(values: Sequence[float | None]) -> list[str]:
    first = values[0]
    ratios = ["" if not first or v is None else f"{v / first:.3f}" for v in values[1:]]
    return [*(number(v, 4) for v in values), *ratios]


def _kept(records: Sequence[TrialRecord], names: Sequence[str]) -> Table:
    sets = [set(record.selection.ids) for record in records]
    rows = []
    for (a, x), (b, y) in combinations(zip(names, sets, strict=True), 2):
        both, either = len(x & y), len(x | y)
        share = f"{both / either:.2f}" if either else ""
        rows.append([f"{a}, {b}", str(len(x)), str(len(y)), str(both), share])
    return Table(
        "kept",
        "Structures at the last point",
        ["runs", "first keeps", "second keeps", "both", "Jaccard"],
        rows,
        notes="Jaccard: structures that both keep by structures that either keeps.",
    )


def _print(document: Document) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    for section in document.sections:
        for part in section.parts:
            if isinstance(part, Paragraph):
                console.print(part.text, markup=False, highlight=False)
            elif isinstance(part, Table) and not part.folded:
                table = Terminal(box=box.SIMPLE_HEAD, title=part.title, title_justify="left")
                for column in part.columns:
                    table.add_column(escape(column), overflow="fold")
                for row in part.rows:
                    table.add_row(*(escape(text_of(cell)) for cell in row))
                console.print(table)


if __name__ == "__main__":
    main()
