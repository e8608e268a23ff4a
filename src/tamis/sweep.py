"""What a multirun does around its trials: one MLflow parent before, one table after."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.analysis.averages import AVERAGE
from tamis.analysis.points import Point, points_of, write_table
from tamis.commands.sync import sync
from tamis.core.errors import TamisError
from tamis.core.locks import hold, is_in_use
from tamis.core.resolvers import register_resolvers
from tamis.records.record import RECORD_FILE, read_record
from tamis.report.curves import draw_curves
from tamis.report.tables import in_one_line, print_sweep
from tamis.tracking import NoTracker, Tracker, tracker_of
from tamis.tracking.parents import MISSED, UNREACHABLE, Parent, read_parent

log = logging.getLogger(__name__)


class SweepRun(Callback):
    """Hydra callback: makes the run that a sweep's runs hang under, and prints the sweep's results."""

    def __init__(self) -> None:
        self._at_work: int | None = None  # a number: launchers send the callbacks to other processes

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the parent run; its id is left in the sweep's folder for the trials, in whatever process."""
        register_resolvers()
        if is_search(config.hydra.sweeper):  # resumes, and has an observer of its own (search_runs)
            return
        if is_on_cluster(config.hydra.launcher):  # resumes, and writes to MLflow itself (study/slurm_sweep)
            return
        folder = Path(config.hydra.sweep.dir)
        if _in_order(folder):  # nothing is overwritten; Hydra would make a warning of an exception, and go on
            sys.exit(f"{folder} holds the trials of another sweep; choose another hydra.sweep.dir")
        if is_in_use(folder):
            sys.exit(f"another sweep works in {folder}; wait for it, or choose another hydra.sweep.dir")
        parent = Parent(f"{config.hydra.runtime.choices.get('experiment') or 'sweep'} {folder.name}")
        try:
            parent.write(folder)
        except TamisError as error:
            sys.exit(f"{error} with hydra.sweep.dir=...")
        self._at_work = hold(folder)  # tamis-sync leaves the parent of a living sweep open
        try:
            tracker = tracker_of(config)
            run_id = tracker.open_parent(parent)
        except Exception as error:  # told once, not by each of a thousand trials
            log.warning(
                "nothing is logged to MLflow (%s); the records are in %s, and tamis-sync %s sends them later",
                in_one_line(str(error)),
                folder,
                folder,
            )
            return
        parent.at(tracker, run_id).write(folder)
        atexit.register(self._stop, tracker, run_id)
        _spare_the_collector()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Clear away what the trial left; what remains is Hydra's, which keeps all results until the sweep ends."""
        _spare_the_collector()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End the parent run; leave a table and a figure in the sweep's folder, and print the table."""
        if is_search(config.hydra.sweeper):
            return
        folder = Path(config.hydra.sweep.dir)
        atexit.unregister(self._stop)
        if self._at_work is not None:
            os.close(self._at_work)
            self._at_work = None
        parent = parent_run(folder)
        if parent not in (None, UNREACHABLE) and not is_on_cluster(config.hydra.launcher):
            try:
                tracker: Tracker = instantiate(config.tracking)
                if (folder / MISSED).exists():
                    (folder / MISSED).unlink()
                    _make_up(tracker, folder)
                tracker.end_parent(parent)
            except Exception as error:  # the records are safe, and are what the table is made of
                reason = in_one_line(str(error))
                log.warning("the sweep's MLflow run stays open (%s); tamis-sync %s ends it", reason, folder)
        records = {path.parent.name: read_record(path.parent) for path in _in_order(folder)}
        points = list(points_of(list(records.values())))
        if points:
            write_table(points, folder / "results.csv")
            draw_curves(points, folder / "errors.png", _title(points))
        print_sweep(records, folder, config.tracking.uri if parent else None)

    def _stop(self, tracker: Tracker | NoTracker, parent: str) -> None:
        """Called at exit where the sweep did not come to its end: an error, or Ctrl-C."""
        tracker.end_parent(parent, "KILLED")


def is_search(sweeper: DictConfig) -> bool:
    """Whether the sweeper is a search, which has a study, rather than a list of jobs."""
    return "study_name" in sweeper


def is_on_cluster(launcher: DictConfig) -> bool:
    """Whether the launcher hands trials to Slurm; they leave their folders only."""
    return "trials_per_task" in launcher


def parent_run(sweep_folder: Path) -> str | None:
    """Id of the MLflow run of a sweep; UNREACHABLE where it could not be made; None outside a sweep."""
    parent = read_parent(sweep_folder)
    return None if parent is None else parent.run_id


def _title(points: Sequence[Point]) -> str:
    draws = len({(point.seed_split, point.seed_select) for point in points})
    return (
        f"test errors, {AVERAGE} and range over {draws} seeds"
        if draws > 1
        else "test errors, 1 seed: no verdict"
    )


def _make_up(tracker: Tracker, folder: Path) -> None:
    """Write the runs that MLflow missed while it was away; raises what it raises."""
    for _, tally in sync(str(folder), tracker):
        for reason in tally.failed:
            log.warning("not logged to MLflow: %s", reason)


def _spare_the_collector() -> None:
    """Collect garbage, and take what is left out of later rounds.

    Imports (MLflow's above all) and the configurations of all trials so far, which Hydra keeps, would be visited in
    each round: 0.2 s a trial, and more with every trial.
    """
    gc.collect()
    gc.freeze()


def _in_order(folder: Path) -> list[Path]:
    """The record of every trial, 2 before 10."""
    return sorted(folder.glob(f"*/{RECORD_FILE}"), key=lambda path: (len(path.parent.name), path))
