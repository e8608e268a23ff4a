"""What a multirun does around its trials: one MLflow parent before, one table after."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.configuration import register_resolvers
from tamis.exceptions import TamisError
from tamis.record import RECORD_FILE, read_record
from tamis.report.curves import draw_curves
from tamis.report.points import Point, points_of, write_table
from tamis.report.tables import in_one_line, print_sweep
from tamis.store import write_atomically
from tamis.tracking import Tracker

log = logging.getLogger(__name__)
PARENT_FILE = "mlflow_parent.json"
UNREACHABLE = ""


class SweepRun(Callback):
    """Hydra callback: makes the run that a sweep's runs hang under, and prints the sweep's results."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the parent run; its id is left in the sweep's folder for the trials, in whatever process."""
        register_resolvers()
        if is_search(config.hydra.sweeper):  # resumes, and has an observer of its own (search_runs)
            return
        folder = Path(config.hydra.sweep.dir)
        if _in_order(folder):  # nothing is overwritten; Hydra would make a warning of an exception, and go on
            sys.exit(f"{folder} holds the trials of another sweep; choose another hydra.sweep.dir")
        try:
            _write_parent(folder, UNREACHABLE)
        except TamisError as error:
            sys.exit(f"{error} with hydra.sweep.dir=...")
        try:
            tracker = instantiate(config.tracking)
            choice = config.hydra.runtime.choices.get("experiment")
            parent = tracker.start_parent(f"{choice or 'sweep'} {folder.name}")
        except Exception as error:  # told once, not by each of a thousand trials
            reason = in_one_line(str(error))
            log.warning("nothing is logged to MLflow (%s); the records are in %s", reason, folder)
            return
        _write_parent(folder, parent)
        atexit.register(self._stop, tracker, parent)
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
        parent = parent_run(folder)
        if parent:
            try:
                instantiate(config.tracking).end_parent(parent)
            except Exception as error:  # the records are safe, and are what the table is made of
                log.warning("the sweep's MLflow run stays open (%s)", in_one_line(str(error)))
        records = {path.parent.name: read_record(path.parent) for path in _in_order(folder)}
        points = list(points_of(list(records.values())))
        if points:
            write_table(points, folder / "results.csv")
            draw_curves(points, folder / "errors.png", _title(points))
        print_sweep(records, folder, config.tracking.uri if parent else None)

    def _stop(self, tracker: Tracker, parent: str) -> None:
        """Called at exit where the sweep did not come to its end: an error, or Ctrl-C."""
        tracker.end_parent(parent, "KILLED")


def is_search(sweeper: DictConfig) -> bool:
    """Whether the sweeper is a search, which has a study, rather than a list of jobs."""
    return "study_name" in sweeper


def parent_run(sweep_folder: Path) -> str | None:
    """Id of the MLflow run of a sweep; UNREACHABLE where it could not be made; None outside a sweep."""
    try:
        return str(json.loads((sweep_folder / PARENT_FILE).read_text())["run_id"])
    except FileNotFoundError:
        return None


def _title(points: Sequence[Point]) -> str:
    draws = len({(point.seed_split, point.seed_select) for point in points})
    return (
        f"test errors, median and range over {draws} seeds"
        if draws > 1
        else "test errors, 1 seed: no verdict"
    )


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


def _write_parent(folder: Path, run_id: str) -> None:
    write_atomically(folder / PARENT_FILE, json.dumps({"run_id": run_id}).encode())
