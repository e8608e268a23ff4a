"""``tamis compare``: runs side by side, or the ways of choosing of a sweep against each other.

Of runs: what was different, what came out at each budget, which structures both kept. Of a sweep's folder: the ratio of
test errors of any two ways of choosing, with intervals over its splits.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from tamis.analysis.arms import results_of
from tamis.analysis.averages import alike
from tamis.analysis.pairs import MOST_ARMS, pairs_at
from tamis.analysis.test_errors import CachedTestErrors
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands.arguments import add_tracking, links_of, new_name, set_help
from tamis.core import metrics as named
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.flatten import flatten
from tamis.records.record import RECORD_FILE, TrialRecord, read_record
from tamis.report.document import Cell, Document, Paragraph, Row, Section, Table, number
from tamis.report.html import to_html
from tamis.report.links import Links
from tamis.report.sections.pairs import parts_of
from tamis.report.terminal import console_of, show
from tamis.tracking.content import NO_PARAMS

ERRORS = tuple(
    named.error(part, quantity) for part in (named.VALIDATION, named.TEST) for quantity in named.MAES
)
MAIN = (*ERRORS, named.KEPT_STRUCTURES, named.KEPT_ATOMS)
MAIN_BEGINNINGS = (named.PROPERTIES, named.STABLE_FRACTION)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Compare two or more runs: configuration, metrics at each budget, and the structures that both kept. Or "
        "compare the pruners and descriptors of a sweep, any two, paired by split, with intervals.",
        "tamis compare multirun/study/12 multirun/study/40 --out comparison.html",
        "tamis compare multirun/sweep-1a2b3c4d",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder of a trial, or id of its run in MLflow; or folders of sweeps",
    )
    default = Path("comparison.html")
    parser.add_argument(
        "--out", type=Path, default=default, metavar="FILE", help="new page; default: %(default)s"
    )
    add_tracking(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print and write the page; returns the exit status."""
    if all(one.is_dir() and not (one / RECORD_FILE).is_file() for one in arguments.runs):
        document = compare_ways(arguments.runs)
    else:
        links = links_of(arguments)
        document = compare_runs([_folder(one, links) for one in arguments.runs], links)
    out = new_name(arguments.out)
    write_atomically(out, to_html(document).encode())
    console = console_of(width=140)
    for part in (part for section in document.sections for part in section.parts):
        if isinstance(part, Paragraph):
            console.print(part.text, markup=False, highlight=False)
        elif isinstance(part, Table) and not part.folded:
            show(part, console, n_words=len(part.columns))
    console.print(f"page: {out.absolute()}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _folder(one: Path, links: Links) -> Path:
    if (one / RECORD_FILE).is_file():
        return one.resolve()
    for folder, (_, run_id) in links.runs.items():
        if run_id == str(one):
            return Path(folder)
    raise TamisError(
        f"{one} is neither a folder with a {RECORD_FILE} nor the id of a run in MLflow; give either"
    )


def compare_ways(folders: Sequence[Path]) -> Document:
    """Any two ways of choosing in the folders of sweeps, as a document.

    Raises
    ------
    TamisError : no two of them can be compared.
    """
    results = results_of(read_trials(find_trials(folders)))
    reader = CachedTestErrors()
    pairs = [pair for ground in results.grounds for pair in pairs_at(results, ground, reader)]
    if not pairs:
        raise TamisError(
            f"nothing to compare in {', '.join(map(str, folders))}: that takes complete trials of one model with two "
            f"pruners or descriptors (at most {MOST_ARMS} ways of choosing) at the same budget, and a test set"
        )
    names = ", ".join(folder.resolve().name for folder in folders)
    about = f"{len(results.trials)} trials in {', '.join(map(str, folders))}."
    return Document(f"Ways of choosing in {names}", about, [Section("Any two", list(parts_of(pairs)))])


def compare_runs(folders: Sequence[Path], links: Links) -> Document:
    """The comparison as a document.

    Raises
    ------
    TamisError : fewer than two runs, or a record that cannot be read.
    """
    if len(folders) < 2:
        raise TamisError("one run is not compared with anything; give another")
    records = [read_record(folder) for folder in folders]
    names = _names(folders)
    sections = [
        Section("Runs", [_runs(records, names, folders, links), *_warnings(records, names)]),
        Section("What was different", [_differences(records, names)]),
        Section("What came out", [*_at_each_budget(records, names), *_metrics(records, names)]),
        Section("Kept structures in common", [_kept(records, names)]),
    ]
    return Document(f"Comparison of {' and '.join(names)}", "Metrics are of each run's last point.", sections)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names; with the folder above where two have the same."""
    short = [folder.name for folder in folders]
    return [f.name if short.count(f.name) == 1 else f"{f.parent.name}/{f.name}" for f in folders]


def _runs(
    records: Sequence[TrialRecord], names: Sequence[str], folders: Sequence[Path], links: Links
) -> Table:
    rows: list[Row] = []
    for record, name, folder in zip(records, names, folders, strict=True):
        status = f"{record.status}: {record.reason}" if record.reason else str(record.status)
        rows.append(
            [Cell(name, link=links.run(folder)), status, record.versions.get("git", "?"), str(folder)]
        )
    return Table("runs", "Runs", ["run", "status", "code", "folder"], rows)


def _warnings(records: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Paragraph]:
    if len({record.dataset.fingerprint for record in records}) > 1:
        different = "The runs have different data sets: their errors are not of the same test structures."
        yield Paragraph(different, strong=True)
    for record, name in zip(records, names, strict=True):
        for stage, reason in record.problems.items():
            yield Paragraph(f"{name}, {stage}: {reason}")


def _differences(records: Sequence[TrialRecord], names: Sequence[str]) -> Table:
    leaves = [dict(flatten(record.config)) for record in records]
    keys = dict.fromkeys(key for some in leaves for key in some if not key.startswith(NO_PARAMS))
    values = {key: [str(some[key]) if key in some else "" for some in leaves] for key in keys}
    rows = [[key, *some] for key, some in values.items() if len(set(some)) > 1]
    return Table("configuration", "Configuration, where it differs", ["", *names], rows)


def _metrics(records: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Table]:
    measured = [record.measured for record in records]
    every = sorted({name for some in measured for name in some})
    physics = [n for n in every if n.startswith(MAIN_BEGINNINGS)]
    main = [*(n for n in MAIN if n in every), *physics]
    rest = [n for n in every if n not in main]
    columns = ["", *names, *(f"{name} / {names[0]}" for name in names[1:])]
    for name, title, chosen in (("metrics", "Metrics", main), ("more-metrics", "All other metrics", rest)):
        rows = [[metric, *_row([some.get(metric) for some in measured])] for metric in chosen]
        yield Table(name, title, columns, rows, folded=chosen is rest, most=1000)


def _at_each_budget(records: Sequence[TrialRecord], names: Sequence[str]) -> Iterator[Table]:
    """Test and validation errors at the budgets that all runs have, where they are curves."""
    if min(len(record.curve) for record in records) < 2:
        return
    rows: list[Row] = []
    for first in records[0].curve:
        several = [min(r.curve, key=lambda p: abs(math.log(p.n_atoms / first.n_atoms))) for r in records]
        part = first.metrics.get(named.FRACTION_OF_ATOMS)
        if part is None or not alike(point.n_atoms for point in several):
            continue
        asked = f"{100 * part:.3g} %"
        for metric in ERRORS:
            values = [point.metrics.get(metric) for point in several]
            if any(value is not None for value in values):
                rows.append([asked, metric, *_row(values)])
                asked = ""
        rows.append([asked, named.KEPT_ATOMS, *_row([float(point.n_atoms) for point in several])])
    columns = ["% of the atoms", "", *names, *(f"{name} / {names[0]}" for name in names[1:])]
    if rows:
        yield Table("curves", "Errors at the budgets that all have, by their atoms", columns, rows, most=1000)


def _row(values: Sequence[float | None]) -> list[str]:
    first = values[0]
    ratios = ["" if not first or v is None else f"{v / first:.3f}" for v in values[1:]]
    return [*(number(v, 4) for v in values), *ratios]


def _kept(records: Sequence[TrialRecord], names: Sequence[str]) -> Table:
    rows = []
    sets = [set(record.selection.ids) for record in records]
    for (a, x), (b, y) in combinations(zip(names, sets, strict=True), 2):
        share = f"{len(x & y) / len(x | y):.2f}" if x or y else ""
        rows.append([f"{a}, {b}", str(len(x)), str(len(y)), str(len(x & y)), share])
    return Table(
        "kept",
        "Structures at the last point",
        ["runs", "first keeps", "second keeps", "both", "Jaccard"],
        rows,
        notes="Jaccard: structures that both keep by structures that either keeps.",
    )
