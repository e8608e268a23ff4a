"""What is in a SQLite database that a killed process has left, without touching it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.entities import RunStatus

LOGS = ("", "-wal", "-journal")
"""A database and what SQLite keeps beside it: without the logs a copy is not what the next program will see."""


class Run(NamedTuple):
    """A run of MLflow that is not deleted."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @property
    def trial(self) -> str:
        """Name of its trial's folder; "" of a parent."""
        return Path(self.tags.get("tamis.folder", "")).name if self.tags.get("tamis.kind") == "trial" else ""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a copy: to open the original would already mend it."""
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as scratch:
        for end in LOGS:
            if (log := path.with_name(path.name + end)).exists():
                shutil.copy(log, scratch)
        with closing(sqlite3.connect(Path(scratch) / path.name)) as connection:
            yield connection


def runs(path: Path) -> list[Run]:
    """All runs in an MLflow database."""
    with opened(path) as connection:

        def by_run(table: str, value: str = "value") -> dict[str, dict[str, Any]]:
            found: dict[str, dict[str, Any]] = {}
            for run_id, key, one in connection.execute(f"select run_uuid, key, {value} from {table}"):
                found.setdefault(run_id, {})[key] = one
            return found

        tags, params, metrics = by_run("tags"), by_run("params"), by_run("latest_metrics")
        rows = connection.execute(
            "select run_uuid, status from runs where lifecycle_stage = 'active'"
        ).fetchall()
    return [Run(i, status, tags.get(i, {}), params.get(i, {}), metrics.get(i, {})) for i, status in rows]


def is_whole(run: Run) -> bool:
    """Whether it was written to its end."""
    return bool(RunStatus.is_terminated(RunStatus.from_string(run.status)))
