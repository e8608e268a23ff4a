"""A search on a study in SQLite or in a journal, which is started again until it has all its trials."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.faults import databases
from tests.faults.scenario import Scenario
from tests.searches import Toy, check_whole, load

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.sweeps.search.studies import storage_failure

N_TRIALS = 4


class Search(Scenario):
    """Four trials, kept in SQLite or in a journal file that is there or is made; a trial computes a number."""

    def __init__(self, storage: str, is_new: bool) -> None:
        self.storage, self.is_new = storage, is_new

    def prepare(self, folder: Path) -> None:
        Toy(folder.parent / "warm", n_trials=N_TRIALS).run()
        if not self.is_new:  # to make the tables takes a second
            self._toy(folder)

    def _toy(self, folder: Path) -> Toy:
        address = f"sqlite:///{folder / self._file}" if self.storage == "SQLite" else str(folder / self._file)
        kinds: dict[str, Any] = {"x": "interval(-5, 5)", "kind": "choice(a, b)"}
        return Toy(folder / "out", storage=address, params=kinds, n_trials=N_TRIALS, max_failure_rate=1)

    @property
    def _file(self) -> str:
        return "study.db" if self.storage == "SQLite" else "study.journal"

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
            check_whole(
                load(f"sqlite:///{address}" if self.storage == "SQLite" else address, "toy"), N_TRIALS
            )


SET_TRIAL_STATE_VALUES = 6
"""Optuna's number for the line of a journal that tells how a trial ended."""
ENDED = (1, 2, 3)
"""Optuna's numbers of the states complete, pruned and failed."""
