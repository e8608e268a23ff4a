"""A single trial: what was kept, what it costs, and the pictures that the trial left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tamis.analysis.arms import NO_DESCRIPTOR
from tamis.core.errors import TamisError
from tamis.core.messages import in_one_line
from tamis.data.dealing import test_in_words
from tamis.records.record import COMPLETE, RECORD_FILE, TrialRecord, read_record
from tamis.report.document import Drawing, Paragraph, Part, Pictures, Section
from tamis.report.tables import errors_table, physics_table

FOLDERS = (".", "properties", "dynamics")
"""Of a trial, with pictures; parity plots first."""
WIDE = ("parity", "curve")
"""Pictures of several panels."""


def record_of(folders: Sequence[Path]) -> TrialRecord | None:
    """The record where a report is about one trial; None for sweeps."""
    if len(folders) != 1 or not (folders[0] / RECORD_FILE).exists():
        return None
    try:
        return read_record(folders[0])
    except TamisError:  # the table of trials says what is wrong with it
        return None


def section(record: TrialRecord, folder: Path) -> Section:
    """Errors, physics, pictures, and what could not be measured."""
    parts: list[Part] = []
    if record.status != COMPLETE:
        parts.append(Paragraph(f"The trial is {record.status}: {in_one_line(record.reason)}", strong=True))
    if record.curve:
        parts += [Paragraph(_kept(record), strong=True), errors_table(record, "")]
    drawings = [
        Drawing(path.stem.replace("_", " "), path.read_bytes())
        for sub in FOLDERS
        for path in sorted((folder / sub).glob("*.png"))
    ]
    parts.append(Pictures([one for one in drawings if one.name.startswith(WIDE)], wide=True))
    if (physics := physics_table(record)) is not None:
        parts.append(physics)
    parts.append(Pictures([one for one in drawings if not one.name.startswith(WIDE)]))
    parts += [Paragraph(f"{stage}: {in_one_line(reason)}") for stage, reason in record.problems.items()]
    return Section("What was kept, and what it costs", [p for p in parts if not _is_empty(p)])


def _is_empty(part: Part) -> bool:
    return isinstance(part, Pictures) and not part.pictures


def _kept(record: TrialRecord) -> str:
    data, last, choices = record.dataset, record.curve[-1], record.config["choices"]
    trained = len(data.pool) + len(data.tuning) + len(data.validation)
    chosen = f"{choices['pruner']} in {choices['descriptor']}".removesuffix(f" in {NO_DESCRIPTOR}")
    return (
        f"{choices['model']} was trained on {last.n_structures} of {len(data.pool)} structures ({last.n_atoms} of "
        f"{data.n_pool_atoms} atoms), chosen by {chosen}. Test: "
        f"{test_in_words(data.test_kind, len(data.test), trained + len(data.test))}"
    )
