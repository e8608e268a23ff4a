"""What a sweep leaves and says at its end: a table, a figure, and the next command."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from tamis.analysis.arms import results_of
from tamis.analysis.averages import AVERAGE
from tamis.analysis.trials import trials_of
from tamis.core.errors import TamisError
from tamis.records.record import COMPLETE, Status
from tamis.report.curves import draw_curves, write_table
from tamis.report.tables import print_sweep
from tamis.sweeps.folder import SweepFolder


def print_end(folder: SweepFolder, config: DictConfig) -> dict[str, Status]:
    """Write ``results.csv`` and ``errors.png``, print the sweep's table, and return the statuses by name."""
    records = {name: record for name in folder.names() if (record := folder.record(name))}
    points = results_of(trials_of({folder.path / name: record for name, record in records.items()})).points
    if points:
        write_table([*records.values()], folder.path / "results.csv")
        draws = len({point.seeds[:2] for point in points})
        title = f"{AVERAGE} and range over {draws} seeds" if draws > 1 else "1 seed: no verdict"
        draw_curves(points, folder.path / "errors.png", f"test errors, {title}")
    print_sweep(records, points, folder.path, None if config.tracking is None else config.tracking.uri)
    if any(record.status == COMPLETE for record in records.values()):
        say_next(folder.path)
    return {name: record.status for name, record in records.items()}


def refuse_failures(n_failed: int, n: int) -> None:
    """Raise TamisError, which gives the exit status 1, if any of ``n`` trials failed."""
    if n_failed:
        raise TamisError(
            f"{n_failed} of {n} trials failed; the reasons are above. Mend what they name and give the same command "
            "with hydra.sweeper.retry_failed=true"
        )


def say_next(folder: Path) -> None:
    """The commands that go on from a sweep."""
    console, shown = Console(highlight=False, soft_wrap=True), _short(folder)
    console.print(f"next:   tamis report {shown}    tables, figures, verdicts", markup=False)
    console.print(f"        tamis pick {shown}      the smallest training set that serves", markup=False)


def _short(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
