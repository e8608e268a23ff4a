"""A search on a study in SQLite, which is started again until it has all its trials."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.faults import databases
from tests.faults.scenario import Scenario
from tests.searches import Toy, check_whole, load

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.sweeps.search.studies import SQLITE, storage_failure

N_TRIALS = 4


class Search(Scenario):
    """Four trials, kept in the SQLite of the search's folder, which is there or is made; a trial computes a number."""

    def __init__(self, is_new: bool) -> None:
        self.is_new = is_new

    def prepare(self, folder: Path) -> None:
        Toy(folder.parent / "warm", n_trials=N_TRIALS).run()
        if not self.is_new:  # to make the tables takes a second
            self._toy(folder)

    def _toy(self, folder: Path) -> Toy:
        kinds: dict[str, Any] = {"x": "interval(-5, 5)", "kind": "choice(a, b)"}
        return Toy(folder / "out", params=kinds, n_trials=N_TRIALS, max_failure_rate=1)

    def run(self, folder: Path) -> None:
        try:
            self._toy(folder).run()
        except OSError as error:  # as tamis.commands.run.main does
            raise SystemExit(explain(error)) from error
        except TamisError:
            raise
        except Exception as error:  # as tamis.sweeps.search.run does
            if not (reason := storage_failure(error)):
                raise
            raise SystemExit(reason) from error

    def _rows(self, folder: Path) -> list[tuple[object, ...]]:
        """Ended trials: number, state, values."""
        path = folder / "out" / SQLITE
        if not path.exists():
            return []
        with databases.opened(path) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'trial_values'").fetchone():
                return []
            return connection.execute(
                "select number, state, value from trials left join trial_values using (trial_id) "
                "where state in ('COMPLETE', 'FAIL', 'PRUNED') order by number"
            ).fetchall()

    def complete(self, folder: Path) -> dict[str, bytes]:
        rows = self._rows(folder)
        assert len({row[0] for row in rows}) == len(rows), f"a trial has ended twice: {rows}"
        return {str(number): f"{state} {value}".encode() for number, state, value in rows}

    def check(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            for path in (folder / "out").glob(f"{SQLITE}*"):
                shutil.copy(path, scratch)
            check_whole(load(f"sqlite:///{scratch}/{SQLITE}", "toy"), N_TRIALS)
