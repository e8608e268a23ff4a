"""A search: an Optuna study of a small Hydra application, which is started again until it has all its trials."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from tests.faults import databases
from tests.faults.scenario import Scenario
from tests.studies import check_whole, load, make_app

from hydra_plugins.tamis_study_sweeper._storage import open_storage
from tamis.core.config_errors import explain

N_TRIALS = 4
REAL_SWEEPER = Plugins.instantiate_sweeper


def launch(jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
    """In place of Hydra's launcher: each job leaves a file in its folder and returns a number."""
    returned = []
    for job in jobs:
        given = dict(override.split("=", 1) for override in job)
        place = Path("out") / given["hydra.sweep.subdir"].strip("'")
        one = JobReturn(overrides=list(job))
        try:
            place.mkdir(parents=True)
            (place / "x.txt").write_text(given["x"])
            one.status, one.return_value = JobStatus.COMPLETED, float(given["x"]) ** 2
        except OSError as error:
            one.status, one.return_value = JobStatus.FAILED, error
        returned.append(one)
    return returned


class Search(Scenario):
    """Four trials, kept in SQLite or in a journal file that is there or is made.

    Hydra's part, which touches no file of the search, is done once for all cases: it makes the sweeper and composes
    the configuration. The jobs are functions here; everything between the storage and them is as it is.
    """

    def __init__(self, storage: str, is_new: bool) -> None:
        self.storage, self.is_new = storage, is_new

    def prepare(self, folder: Path) -> None:
        warm = make_app(folder.parent / "warm")
        where = f"sqlite:///{self._file}" if self.storage == "SQLite" else self._file
        self.typed = ["x=interval(-5,5)", "kind=a,b"]
        settings = [f"n_trials={N_TRIALS}", f"storage='{where}'", "max_failure_rate=1"]
        settings = ["hydra/sweeper/sampler=random", *(f"hydra.sweeper.{one}" for one in settings)]
        with (
            contextlib.chdir(warm),
            mock.patch.dict(os.environ, {"HYDRA_FULL_ERROR": "1"}),
            mock.patch.object(sys, "argv", ["app.py", "-m", *self.typed, *settings]),
            mock.patch.object(Plugins, "instantiate_sweeper", self._keep),
        ):
            runpy.run_path(str(warm / "app.py"))
            composed = self.sweeper.compose(["x=0.5", "kind=a"])
            self.sweeper.compose = lambda overrides: composed
            self.sweeper.launcher.launch = launch
            with contextlib.redirect_stdout(io.StringIO()):
                self.sweeper.sweep(self.typed)
        if not self.is_new:  # to make the tables takes a second
            open_storage(f"sqlite:///{folder / self._file}")
        logging.root.handlers[:] = []

    def _keep(self, **arguments: Any) -> mock.Mock:
        """What Hydra gets in place of the sweeper that it asks for."""
        self.sweeper = REAL_SWEEPER(Plugins.instance(), **arguments)
        return mock.Mock()

    @property
    def _file(self) -> str:
        return "study.db" if self.storage == "SQLite" else "study.journal"

    def run(self, folder: Path) -> None:
        try:
            self.sweeper.sweep(self.typed)
        except OSError as error:  # as tamis.commands.run.main does; of Hydra's errors the forks know
            raise SystemExit(explain(error)) from error

    def _rows(self, folder: Path) -> list[tuple[object, ...]]:
        """Ended trials: number, state, values."""
        if not (folder / self._file).exists():
            return []
        if self.storage == "SQLite":
            with databases.opened(folder / self._file) as connection:
                if not connection.execute(
                    "select 1 from sqlite_master where name = 'trial_values'"
                ).fetchone():
                    return []
                return connection.execute(
                    "select number, state, value from trials left join trial_values using (trial_id) "
                    "where state in ('COMPLETE', 'FAIL', 'PRUNED') order by number"
                ).fetchall()
        lines = (
            (folder / self._file).read_text().split("\n")[:-1]
        )  # the last one has no end, or nothing in it
        told = [one for one in map(json.loads, lines) if one["op_code"] == SET_TRIAL_STATE_VALUES]
        return [(t["trial_id"], t["state"], str(t["values"])) for t in told if t["state"] in ENDED]

    def complete(self, folder: Path) -> dict[str, bytes]:
        rows = self._rows(folder)
        assert len({row[0] for row in rows}) == len(rows), f"a trial has ended twice: {rows}"
        return {str(number): f"{state} {value}".encode() for number, state, value in rows}

    def check(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            for path in folder.glob(f"{self._file}*"):
                shutil.copy(path, scratch)
            address = f"{scratch}/{self._file}"
            check_whole(load(f"sqlite:///{address}" if self.storage == "SQLite" else address), N_TRIALS)
        assert not list((folder / "out" / ".workers").glob("*:*")), (
            "a process that is gone is still announced"
        )


SET_TRIAL_STATE_VALUES = 6
"""Optuna's number for the line of a journal that tells how a trial ended."""
ENDED = (1, 2, 3)
"""Optuna's numbers of the states complete, pruned and failed."""
