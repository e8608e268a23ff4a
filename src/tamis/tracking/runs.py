"""Which runs MLflow has, from their tags alone: its own search loads all metrics, minutes for ten thousand runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.tracking.connection import SQLITE


def runs_by_folder(uri: str) -> dict[str, tuple[str, str]]:
    """Folder -> (experiment id, run id) of the trials in a tracking database or server; empty without a database.

    Raises
    ------
    TamisError : a server that does not answer.
    """
    if not uri.startswith(SQLITE):
        return _ask_server(uri)
    query = (
        "select tags.value, runs.experiment_id, runs.run_uuid from tags join runs on runs.run_uuid = tags.run_uuid "
        "where tags.key = 'tamis.folder' and runs.lifecycle_stage = 'active'"
    )
    # not MLflow's, or of a version with other tables: a report needs no links
    return {folder: (str(experiment), run) for folder, experiment, run in _asked(uri, query) or ()}


def children_of(uri: str, parent: str) -> list[tuple[str, str, str]] | None:
    """Tag ``tamis.id``, run id and status of the runs under a parent; None where only MLflow itself can tell."""
    query = (
        "select coalesce(ids.value, ''), runs.run_uuid, runs.status from runs "
        "join tags as parents on parents.run_uuid = runs.run_uuid and parents.key = 'mlflow.parentRunId' "
        "left join tags as ids on ids.run_uuid = runs.run_uuid and ids.key = 'tamis.id' "
        "where parents.value = ? and runs.lifecycle_stage = 'active' order by runs.start_time desc"
    )
    return _asked(uri, query, parent) if uri.startswith(SQLITE) else None


def _asked(uri: str, query: str, *values: str) -> list[Any] | None:
    """Rows of a SQLite database, which is only read; None where there is none with such tables."""
    path = Path(uri.removeprefix(SQLITE))
    if not path.is_file():
        return None
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        ) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return None


def _ask_server(uri: str) -> dict[str, tuple[str, str]]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    found: dict[str, tuple[str, str]] = {}
    try:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        token: str | None = None
        while True:
            page = client.search_runs(
                experiments, "tags.`tamis.kind` = 'trial'", max_results=1000, page_token=token
            )
            for run in page:
                found[run.data.tags.get("tamis.folder", "")] = (run.info.experiment_id, run.info.run_id)
            token = page.token
            if not token:
                return found
    except MlflowException as error:
        raise TamisError(
            f"{uri} does not answer ({error}); start it, or name another with --tracking"
        ) from error
