"""What a sweep leaves and says at its end: a table, a figure, and the next command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from tamis.analysis.arms import Point, results_of
from tamis.analysis.contrasts import FEWEST_SEEDS
from tamis.analysis.pairs import pairs_at
from tamis.analysis.test_errors import CachedTestErrors
from tamis.analysis.trials import Shared, Trial, trial_of
from tamis.core.errors import TamisError
from tamis.core.messages import plain_console
from tamis.records.record import COMPLETE
from tamis.report.curves import PointTable, draw_curves
from tamis.report.sections.pairs import in_words
from tamis.report.tables import print_sweep
from tamis.sweeps.folder import SweepFolder
from tamis.sweeps.summary import summarise_grid

MOST_TRIALS = 500
"""Trials up to which a sweep compares its ways of choosing at its end: of more, their errors take long to read."""
MOST_REASONS = 5
"""Different reasons of failures that a sweep prints; all are in the records."""


def print_end(folder: SweepFolder, config: DictConfig) -> dict[str, str]:
    """Leave a table, a figure and a summary, print the sweep's table, and return the statuses by name."""
    trials, points = leave_tables(folder)
    if points:
        summarise_grid(folder, points)
    print_sweep(trials, points, folder.path, None if config.tracking is None else config.tracking.uri)
    if any(trial.status == COMPLETE for trial in trials.values()):
        _say_pairs([*trials.values()])
        say_next(folder.path)
    return {name: trial.status for name, trial in trials.items()}


def _say_pairs(trials: Sequence[Trial]) -> None:
    """A sentence for each two ways of choosing, where these are few and the trials are of several splits."""
    if len(trials) > MOST_TRIALS or len({trial.seeds[0] for trial in trials}) < FEWEST_SEEDS:
        return
    results, reader = results_of(trials), CachedTestErrors()
    for ground in results.grounds:
        for text in in_words(pairs_at(results, ground, reader)):
            plain_console().print(f"pair:   {text}", markup=False)


def leave_tables(folder: SweepFolder) -> tuple[dict[str, Trial], list[Point]]:
    """Write ``results.csv`` and ``errors.png``; returns the trials by name, and their points."""
    trials: dict[str, Trial] = {}
    shared, table = Shared(), PointTable()
    for name in folder.names():  # ten thousand records as a whole take a gigabyte
        if (record := folder.record(name)) is not None:
            trials[name] = trial_of(record, folder.path / name, shared)
            table.add(record)
    points = results_of([*trials.values()]).points
    if points:
        table.write(folder.path / "results.csv")
        draw_curves(points, folder.path / "errors.png")
    return trials, points


def refuse_failures(n_failed: int, n: int) -> None:
    """Raise TamisError, which gives the exit status 1, if any of ``n`` trials failed."""
    if n_failed:
        raise TamisError(
            f"{n_failed} of {n} trials failed; the reasons are above. Fix what they name and give the same command "
            "with hydra.sweeper.retry_failed=true"
        )


def say_page(page: str) -> None:
    """The address of the runs in MLflow, where they were written."""
    if page:
        plain_console().print(f"runs:   {page}", markup=False)


def say_next(folder: Path) -> None:
    """The commands that use a sweep."""
    out, shown = plain_console(), _short(folder)
    out.print(f"next:   tamis report {shown}    tables, figures, verdicts", markup=False)
    out.print(f"        tamis compare {shown}   any two ways of choosing, with intervals", markup=False)
    out.print(f"        tamis pick {shown}      the smallest training set that serves", markup=False)


def _short(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
