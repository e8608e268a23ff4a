"""Which run in MLflow belongs to the folder of a trial."""

from __future__ import annotations

import sqlite3
from pathlib import Path

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
    path = Path(uri.removeprefix(SQLITE))
    return _ask_sqlite(path) if path.is_file() else {}


def _ask_sqlite(path: Path) -> dict[str, tuple[str, str]]:
    """Read the tags alone: MLflow's own search loads all params and metrics, minutes for ten thousand runs."""
    query = (
        "select tags.value, runs.experiment_id, runs.run_uuid from tags join runs on runs.run_uuid = tags.run_uuid "
        "where tags.key = 'tamis.folder' and runs.lifecycle_stage = 'active'"
    )
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return {folder: (str(experiment), run) for folder, experiment, run in connection.execute(query)}
        finally:
            connection.close()
    except sqlite3.Error:  # not MLflow's, or of a version with other tables: a report needs no links
        return {}


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
