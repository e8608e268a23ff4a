"""Addresses of MLflow runs, so that every number of a report can be traced to the runs that it was made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tamis.core.errors import TamisError

UI = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` is, if not told otherwise."""
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Links:
    """ui: address of the MLflow page. runs: folder of a trial -> (experiment id, run id)."""

    ui: str = UI
    runs: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def run(self, folder: Path) -> str:
        """Address of a trial's run; empty where it has none."""
        found = self.runs.get(str(folder))
        return f"{self.ui}/#/experiments/{found[0]}/runs/{found[1]}" if found else ""

    def search(self, folder: Path, params: Mapping[str, str]) -> str:
        """Address of the list of runs with these parameters, in the experiment of the trial in ``folder``."""
        found = self.runs.get(str(folder))
        if not found:
            return ""
        query = " and ".join(f'params.`{key}` = "{value}"' for key, value in params.items())
        return f"{self.ui}/#/experiments/{found[0]}/runs?searchFilter={quote(query)}"


def read_links(uri: str, ui: str) -> Links:
    """The runs of a tracking database or server, by the folders in their tags; none where there is no database.

    Raises
    ------
    TamisError : a server that does not answer.
    """
    if not uri.startswith(SQLITE):
        return Links(ui, _ask_server(uri))
    path = Path(uri.removeprefix(SQLITE))
    if not path.is_file():
        return Links(ui)
    return Links(ui, _ask_sqlite(path))


def _ask_sqlite(path: Path) -> dict[str, tuple[str, str]]:
    """Read the tags alone: MLflow's own search loads all params and metrics, minutes for ten thousand runs."""
    query = (
        "select tags.value, runs.experiment_id, runs.run_uuid from tags join runs on runs.run_uuid = "
        "tags.run_uuid "
        "where tags.key = 'tamis.folder' and runs.lifecycle_stage = 'active'"
    )
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return {folder: (str(experiment), run) for folder, experiment, run in connection.execute(query)}
        finally:
            connection.close()
    except (
        sqlite3.Error
    ):  # not MLflow's, or of a version with other tables: a report without links is a report
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
            f"{uri} does not answer ({error}); start it, or give another tracking.uri"
        ) from error
