"""Runs in MLflow: one of each record, and one of each sweep that they hang under."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.core.locks import alone_in
from tamis.core.names import LONGEST_KEY, cut_short, mlflow_key, printable
from tamis.core.secrets import redacted
from tamis.records.record import RECORD_FILE, TrialRecord
from tamis.tracking.connection import alone_at, client_of, experiment_id
from tamis.tracking.content import (
    ENDED,
    ID,
    PARENT,
    as_tags,
    in_ms,
    metrics_of,
    params_of,
    run_name,
    tags_of,
)
from tamis.tracking.inputs import inputs_of
from tamis.tracking.page import NOTE, address_of
from tamis.tracking.runs import children_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)
MOST_PARAMS, MOST_ITEMS = 100, 1000
"""What MLflow takes in one call: parameters, and all together."""


@dataclass(frozen=True)
class Tracker:
    """Writes records to an MLflow server or database.

    uri: tracking URI; ``sqlite:///...`` for one writing process at a time, ``http://...`` for several.
    artifact_root: folder for artifacts of a new experiment on SQLite (a server decides by itself).
    experiment: its name in MLflow.
    by_group: send metrics by group of structures, too.
    artifacts: copy the trial's files; False leaves them in the folder that the tag ``tamis.folder`` names.
    """

    uri: str
    artifact_root: Path
    experiment: str
    by_group: bool = True
    artifacts: bool = True

    def _alone(self) -> AbstractContextManager[None]:
        return alone_at(self.uri)

    @property
    def _client(self) -> MlflowClient:
        return client_of(self.uri)

    @property
    def _experiment_id(self) -> str:
        return experiment_id(self.uri, self.experiment, Path(self.artifact_root))

    @property
    def page(self) -> str:
        """Address of the experiment's page in a browser; of a SQLite file where ``mlflow ui`` serves it by default."""
        server = redacted(self.uri).rstrip("/") if self.uri.startswith("http") else "http://127.0.0.1:5000"
        return f"{server}/{address_of(self._experiment_id)}"

    def answers(self) -> bool:
        """Whether the server or database is there."""
        try:
            with self._alone():  # a new database is made by the first who asks
                self._client.search_experiments(max_results=1)
        except Exception:  # MLflow's, and those of databases and their drivers
            return False
        return True

    def open_parent(self, id: str, name: str, tags: Mapping[str, str]) -> str:
        """Find or make the run of a sweep, and mark it as running; returns MLflow's id of it.

        id : of the sweep, the same on every server. name : of the run.
        """
        with self._alone():
            if found := self._with_id(id):
                run_id = str(found[0].info.run_id)
                self._client.update_run(run_id, status="RUNNING")
                return run_id
            shown = cut_short(printable(redacted(name)), name, LONGEST_KEY)
            run = self._client.create_run(
                self._experiment_id, run_name=shown, tags=as_tags({"tamis.kind": "sweep", ID: id, **tags})
            )
            return str(run.info.run_id)

    def describe(self, run_id: str, text: str, metrics: Mapping[str, float]) -> None:
        """Give the run of a sweep its description, in Markdown, and its best values."""
        from mlflow.entities import Metric, RunTag

        tags = [RunTag(key, value) for key, value in as_tags({NOTE: text}).items()]
        with self._alone():
            there = self._client.get_run(run_id).data.metrics
            values = [
                Metric(mlflow_key(name), value, in_ms(time.time()), 0)
                for name, value in metrics.items()
                if there.get(mlflow_key(name)) != value
            ]
            self._client.log_batch(run_id, metrics=values, tags=tags)

    def end_parent(self, run_id: str, status: str = "FINISHED") -> None:
        """Mark a sweep's run as finished, or with another of MLflow's states."""
        with self._alone():
            self._client.set_terminated(run_id, status)

    def children(self, parent: str) -> dict[str, str]:
        """Record id -> run id of the runs under ``parent``; those that were not written to their end are deleted."""
        found: dict[str, str] = {}
        with self._alone():
            for id, run_id, status in self._below(parent):
                if status == "RUNNING" or id in found:  # cut while it was written, or written twice
                    self._client.delete_run(run_id)
                else:
                    found[id] = run_id
        return found

    def _below(self, parent: str) -> Iterable[tuple[str, str, str]]:
        """Record id, run id and status of each run under ``parent``."""
        if (found := children_of(self.uri, parent)) is not None:
            return found
        runs = self._search(f"tags.`{PARENT}` = '{parent}'")
        return [(run.data.tags.get(ID, ""), run.info.run_id, run.info.status) for run in runs]

    def delete(self, run_id: str) -> None:
        """Delete a run."""
        with self._alone():
            self._client.delete_run(run_id)

    def has(self, id: str) -> bool:
        """Whether a record has a run."""
        with self._alone():
            return any(run.info.status != "RUNNING" for run in self._with_id(id))

    def attach(self, run_id: str, path: Path) -> None:
        """Copy a file to the artifacts of a run; one of the same name is replaced."""
        with self._alone():
            self._client.log_artifact(run_id, str(path))

    def write(self, record: TrialRecord, folder: Path, parent: str = "") -> str:
        """Write the run of a record, with the folder's files as artifacts; returns MLflow's id of it.

        A run that was not written to its end is deleted. Whoever gives a ``parent`` knows that the record has none (see
        ``children``): to ask takes as long as to write.
        """
        with alone_in(folder / RECORD_FILE), self._alone():
            for run in () if parent else self._with_id(record.id):
                self._client.delete_run(run.info.run_id)
            run = self._client.create_run(
                self._experiment_id,
                start_time=in_ms(record.started),
                run_name=run_name(record),
                tags=tags_of(record, folder, parent),
            )
            run_id = str(run.info.run_id)
            try:
                self._fill(run_id, record, folder)
            except Exception:
                with suppress(
                    Exception
                ):  # if MLflow is unreachable, the half-written run is replaced at the next sync
                    self._client.delete_run(run_id)
                raise
            return run_id

    def _fill(self, run_id: str, record: TrialRecord, folder: Path) -> None:
        client, params, metrics = self._client, params_of(record), metrics_of(record, self.by_group)
        first, room = params[:MOST_PARAMS], MOST_ITEMS - min(len(params), MOST_PARAMS)
        client.log_batch(
            run_id, params=first, metrics=metrics[:room]
        )  # a call takes longer than what is in it
        for i in range(MOST_PARAMS, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[i : i + MOST_PARAMS])
        for i in range(room, len(metrics), MOST_ITEMS):
            client.log_batch(run_id, metrics=metrics[i : i + MOST_ITEMS])
        if inputs := inputs_of(record, str(folder)):
            client.log_inputs(run_id, inputs)
        if self.artifacts:
            self._send_files(run_id, folder)
        ended = in_ms(record.started + sum(record.seconds.values()))  # not the moment when it is sent
        client.set_terminated(run_id, ENDED.get(record.status, "FAILED"), ended)

    def _send_files(self, run_id: str, folder: Path) -> None:
        """Send what is in the folder, but for links, which may lead anywhere."""
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                log.warning("%s is a link and is not sent to MLflow", path)
            elif path.is_file() and not path.name.startswith("."):  # scratch files and locks
                place = path.parent.relative_to(folder)
                self._client.log_artifact(run_id, str(path), place.as_posix() if place.parts else None)

    def _with_id(self, id: str) -> list[Run]:
        """Runs of a record or sweep, the oldest first."""
        found = self._search(f"tags.`{ID}` = '{id}'")
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def _search(self, query: str) -> Iterator[Run]:
        page = None
        while True:
            runs = self._client.search_runs([self._experiment_id], query, max_results=1000, page_token=page)
            yield from runs
            if not (page := runs.token):
                return
