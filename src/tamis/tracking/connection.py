"""The way to an MLflow server or database: its client, the experiment, and one writer at a time on SQLite."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.core.errors import TamisError
from tamis.core.locks import exclusive
from tamis.core.names import cut_short, printable
from tamis.core.secrets import redacted
from tamis.tracking.page import missing_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
LONGEST_EXPERIMENT = 500
"""Characters that MLflow takes for the name of an experiment."""


@contextmanager
def alone_at(uri: str) -> Iterator[None]:
    """Keep other processes out while a SQLite database is made, migrated or written; servers need no lock.

    Raises
    ------
    TamisError : there is no folder for the database, and none can be made.
    """
    if not uri.startswith(SQLITE):
        yield
        return
    path = Path(uri.removeprefix(SQLITE) + ".lock")
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(path))
        except OSError as error:
            raise TamisError(
                f"no folder for {redacted(uri)} ({error.strerror}); choose another tracking.uri"
            ) from error
        yield


@cache
def client_of(uri: str) -> MlflowClient:
    """The client, one a process; a SQLite database is made where there is none."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what a user studies is nobody else's business
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line a run, password and all
    # a server that is down is told in seconds; MLflow by itself tries for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    from mlflow import MlflowClient

    path = Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and not path.exists():
        _make_database(path)
    return MlflowClient(uri)


def _make_database(path: Path) -> None:
    """Make MLflow's tables in a file of another name: MLflow refuses a database in which a killed process made some."""
    from mlflow import MlflowClient

    scratch = path.with_name(f".{path.name}.new")
    for leftover in path.parent.glob(f"{scratch.name}*"):
        leftover.unlink()
    MlflowClient(f"{SQLITE}{scratch}").search_experiments(max_results=1)
    scratch.rename(path)


@cache
def experiment_id(uri: str, name: str, artifact_root: Path) -> str:
    """Id of an experiment, made where there is none, whose page opens on its runs; asked for once a process."""
    from mlflow.exceptions import MlflowException

    if not name.strip():
        raise TamisError("tracking.experiment is empty; name the experiment, say tracking.experiment=tamis")
    name = cut_short(printable(name), name, LONGEST_EXPERIMENT)
    client = client_of(uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        location = _location(artifact_root.absolute()) if uri.startswith("sqlite:") else None
        try:
            found = client.get_experiment(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was faster
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    id = str(found.experiment_id)
    for key, value in missing_tags(id, found.tags).items():
        client.set_experiment_tag(id, key, value)
    return id


def _location(folder: Path) -> str:
    """The folder as MLflow keeps it; it would read one that is no UTF-8 as another, and write there."""
    if printable(str(folder)) != str(folder):
        raise TamisError(
            f"the folder {printable(str(folder))} is no UTF-8, which MLflow needs; choose another "
            "tracking.artifact_root, or give it another name"
        )
    return folder.as_uri()
