"""What a sweep leaves and says at its end: a table, a figure, and the next command."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from tamis.analysis.averages import AVERAGE
from tamis.analysis.points import points_of, write_table
from tamis.records.record import COMPLETE, TrialRecord
from tamis.report.curves import draw_curves
from tamis.report.tables import print_sweep
from tamis.sweeps.folder import SweepFolder


def print_end(folder: SweepFolder, config: DictConfig) -> dict[str, TrialRecord]:
    """Write ``results.csv`` and ``errors.png``, print the sweep's table, and return the records by name."""
    records = {name: record for name in folder.names() if (record := folder.record(name)) is not None}
    points = list(points_of(list(records.values())))
    if points:
        write_table(points, folder.path / "results.csv")
        draws = len({(point.seed_split, point.seed_select) for point in points})
        title = f"{AVERAGE} and range over {draws} seeds" if draws > 1 else "1 seed: no verdict"
        draw_curves(points, folder.path / "errors.png", f"test errors, {title}")
    print_sweep(records, folder.path, None if config.tracking is None else config.tracking.uri)
    if any(record.status == COMPLETE for record in records.values()):
        say_next(folder.path)
    return records


def say_next(folder: Path) -> None:
    """The commands that go on from a sweep."""
    console, shown = Console(highlight=False, soft_wrap=True), _short(folder)
    console.print(f"next:   tamis report {shown}    tables, figures, verdicts", markup=False)
    console.print(f"        tamis pick {shown}      the smallest training set that serves", markup=False)


def _short(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
