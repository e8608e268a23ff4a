"""What a sweep asked and what came out, in a page of Markdown: the description of its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tamis.analysis.arms import Point
from tamis.analysis.averages import average
from tamis.analysis.protocol import OTHERS, read_protocol
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.report.document import number
from tamis.sweeps.folder import SweepFolder

SUMMARY_FILE = "summary.md"
REPORT = "report"
"""The folder that ``tamis report`` makes."""
VERDICT_FILE = f"{REPORT}/verdict.md"
MOST_ROWS = 20
"""Of a table: all are in results.csv or best.csv."""
BEST = names.error(names.VALIDATION, names.FORCE_MAE)
"""The metric of a grid's best value."""
COLUMNS = {
    names.KEPT_ATOMS: "kept atoms",
    BEST: "validation force MAE, eV/Å",
    names.error(names.TEST, names.FORCE_MAE): "test force MAE, eV/Å",
    names.error(names.TEST, names.ENERGY_MAE): "test energy MAE, meV/atom",
}


def summarise_grid(folder: SweepFolder, points: Sequence[Point]) -> None:
    """Write ``summary.md`` of a grid: its question, and the averages over seeds; the best value goes to its sweep."""
    arms: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        chosen = point.pruner if point.descriptor == "none" else f"{point.pruner} in {point.descriptor}"
        arms.setdefault((point.ground.name, point.model, chosen, point.budget), []).append(point)
    rows = [
        [
            *key[:3],
            str(len({point.seeds for point in mine})),
            *(number(average(mine, name)) for name in COLUMNS),
        ]
        for key, mine in arms.items()
    ]
    rows.sort(key=lambda row: row[:2])
    table = markdown_table(["data", "model", "set chosen by", "seeds", *COLUMNS.values()], rows)
    values = [point.metrics[BEST] for point in points if BEST in point.metrics]
    text = f"{_question_of(folder.path)}{table}"
    write_summary(folder, text, {BEST: min(values)} if values else {})


def write_summary(folder: SweepFolder, text: str, best: Mapping[str, float]) -> None:
    """Write the page, and the best values into ``sweep.json``."""
    write_atomically(folder.path / SUMMARY_FILE, text.encode())
    if (sweep := folder.sweep()) is not None:
        folder.write(replace(sweep, best=dict(best)))


def read_summary(folder: Path) -> str:
    """The page, and behind it what ``tamis report`` has answered; empty before the sweep's first end."""
    text = ""
    with suppress(OSError):
        text = (folder / SUMMARY_FILE).read_text()
        text += f"\n**Verdict** (`tamis report`)\n\n{(folder / VERDICT_FILE).read_text()}"
    return text


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of at most ``MOST_ROWS`` rows."""
    lines = [head, ["---"] * len(head), *rows[:MOST_ROWS]]
    table = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    left = len(rows) - MOST_ROWS
    return table + (f"\n{left} more rows are in the files.\n" if left > 0 else "")


def _question_of(folder: Path) -> str:
    """The questions of the sweep's protocol, if it has one that can be read."""
    try:
        protocol = read_protocol([folder])
    except TamisError:
        protocol = None
    if protocol is None:
        return ""
    models = ", ".join(protocol.models)
    asked = [
        f"* Do sets that {protocol.pruner} chose with the model's own descriptor give {models} lower errors of "
        f"{one.endpoint} than "
        f"{'sets chosen with the other descriptors' if one.against == OTHERS else f'{one.against} sets'}?"
        for one in protocol.asked
    ]
    return "**Question**\n\n" + "\n".join(asked) + "\n\n"
