"""The tracker: runs of records, and of the sweeps that they hang under, each once, on whatever server."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tamis.core.errors import TamisError
from tamis.core.locks import alone_in
from tamis.core.names import LONGEST_KEY, cut_short, printable
from tamis.core.secrets import redacted
from tamis.records.record import RECORD_FILE, TrialRecord, read_record_file
from tamis.tracking.batches import send_all
from tamis.tracking.connection import alone_at, client_of, experiment_id
from tamis.tracking.content import (
    ENDED,
    FOLDER,
    ID,
    LEFT_OUT,
    PARENT,
    as_tags,
    in_ms,
    metrics_of,
    params_of,
    run_name,
    tags_of,
)
from tamis.tracking.parents import Parent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)
EARLIER_RECORDS = "earlier_*.json"
"""Of a trial that failed and was done again, beside its record."""


class Child(NamedTuple):
    """A run under a parent: id and folder of its trial, whether it was written to its end, and its tags."""

    run_id: str
    id: str
    folder: str
    is_whole: bool
    tags: Mapping[str, str]


class ParentRun(NamedTuple):
    """A sweep's run, and MLflow's word for its state."""

    run_id: str
    status: str


class Written(NamedTuple):
    """The run of a record, and whether it was not there before."""

    run_id: str
    is_new: bool


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

    def answers(self) -> bool:
        """Whether the server or database is there."""
        try:
            self._client.search_experiments(max_results=1)
        except Exception:  # MLflow's, and those of databases and their drivers
            return False
        return True

    def open_parent(self, parent: Parent, tags: Mapping[str, str] | None = None) -> str:
        """The run under which the runs of a folder hang, found or made; running, in any case; returns its id."""
        with self._alone():
            run_id = self._parent_run(parent)
            if run_id is None:
                own = as_tags({"tamis.kind": "sweep", ID: parent.id, **(tags or {})})
                name = printable(redacted(parent.name))
                run = self._client.create_run(
                    self._experiment_id, run_name=cut_short(name, name, LONGEST_KEY), tags=own
                )
                run_id = str(run.info.run_id)
            else:
                self._client.update_run(run_id, status="RUNNING")
        return run_id

    def end_parent(self, run_id: str, status: str = "FINISHED") -> None:
        """Mark a sweep's run as finished, or with another of MLflow's states."""
        with self._alone():
            self._client.set_terminated(run_id, status)

    def find_parent(self, parent: Parent) -> ParentRun | None:
        """A parent's run; None where there is none."""
        with self._alone():
            run_id = self._parent_run(parent)
            if run_id is None:
                return None
            return ParentRun(run_id, str(self._client.get_run(run_id).info.status))

    def _parent_run(self, parent: Parent) -> str | None:
        """By its id; by that of its run where that was made before there were ids."""
        from mlflow.exceptions import MlflowException

        if found := self._with_tag(ID, parent.id):
            return str(_oldest(found).info.run_id)
        try:
            run = self._client.get_run(parent.id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        there = run.info.experiment_id == self._experiment_id and run.info.lifecycle_stage == "active"
        return parent.id if there else None

    def _with_tag(self, name: str, value: str) -> list[Run]:
        return list(self._client.search_runs([self._experiment_id], f"tags.`{name}` = '{value}'"))

    def settle(self, id: str, superseded: Iterable[str] = ()) -> str | None:
        """Leave at most one run of a record, a whole one; returns its id, None where there is none.

        Half written runs, second ones, and those of the ``superseded`` records are deleted.
        """
        with self._alone():
            return self._settle(id, superseded)

    def _settle(self, id: str, superseded: Iterable[str]) -> str | None:
        found = self._with_tag(ID, id)
        whole = [run for run in found if run.info.status != "RUNNING"]
        kept = _oldest(whole) if whole else None
        wrong = [run for run in found if run is not kept]
        wrong += [run for old in superseded for run in self._with_tag(ID, old)]
        for run in wrong:
            self._client.delete_run(run.info.run_id)
        return None if kept is None else str(kept.info.run_id)

    def children(self, parent: str) -> list[Child]:
        """The runs that hang under a parent."""
        query, found, page = f"tags.`{PARENT}` = '{parent}'", [], None
        with self._alone():
            while True:
                runs = self._client.search_runs(
                    [self._experiment_id], query, max_results=1000, page_token=page
                )
                found += [
                    Child(
                        run.info.run_id,
                        run.data.tags.get(ID, ""),
                        run.data.tags.get(FOLDER, ""),
                        run.info.status != "RUNNING",
                        run.data.tags,
                    )
                    for run in runs
                ]
                page = runs.token
                if not page:
                    return found

    def discard(self, run_id: str) -> None:
        """Delete a run."""
        with self._alone():
            self._client.delete_run(run_id)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        with self._alone():
            self._tag(run_id, tags)

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        for name, value in as_tags(tags).items():
            self._client.set_tag(run_id, name, value)

    def attach(self, run_id: str, folder: Path) -> None:
        """Copy a folder to the artifacts of a run, under its name; what is there of the same name is replaced."""
        with self._alone():
            self._send_files(run_id, folder, Path(folder.name))

    def write(
        self, record: TrialRecord, folder: Path, parent: str | None, more: Mapping[str, str] | None = None
    ) -> Written:
        """One run for one record, with ``more`` tags and the folder's files as artifacts.

        A record that has its whole run keeps it, a half written run is replaced, and so are the runs of the records
        of earlier failures that the folder holds. Others who write the same record wait, and find it written.
        """
        earlier = list(_ids(folder.glob(EARLIER_RECORDS)))
        own = folder / RECORD_FILE
        with alone_in(own if own.exists() else folder), self._alone():
            if there := self._settle(record.id, earlier):
                return Written(there, is_new=False)
            run_id = self._begin(record, folder, parent, more or {})
            try:
                self._fill(run_id, record, folder)
            except Exception:
                with suppress(Exception):  # what is left where that is away, too, is replaced later
                    self._client.delete_run(run_id)
                raise
            return Written(run_id, is_new=True)

    def _begin(self, record: TrialRecord, folder: Path, parent: str | None, more: Mapping[str, str]) -> str:
        run = self._client.create_run(
            self._experiment_id,
            start_time=in_ms(record.started),
            run_name=run_name(record.config),
            tags=tags_of(record, folder, parent, more),
        )
        return str(run.info.run_id)

    def _fill(self, run_id: str, record: TrialRecord, folder: Path) -> None:
        client, params, metrics = self._client, params_of(record), metrics_of(record, self.by_group)
        no_params = send_all(params, lambda some: client.log_batch(run_id, params=some))
        no_metrics = send_all(metrics, lambda some: client.log_batch(run_id, metrics=some))
        left_out = sorted({param.key for param in no_params} | {metric.key for metric in no_metrics})
        if self.artifacts:
            left_out += self._send_files(run_id, folder, Path())
        if left_out:
            log.warning("MLflow does not take %s of %s; the rest is logged", ", ".join(left_out), folder)
            self._tag(run_id, {LEFT_OUT: ", ".join(left_out)})
        client.set_terminated(run_id, ENDED.get(record.status, "FAILED"))

    def _send_files(self, run_id: str, folder: Path, below: Path) -> list[str]:
        """What is in the folder, but for links: one in a colleague's folder may lead to anything of mine.

        Returns the files that MLflow does not take.
        """
        files: list[Path] = []
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                log.warning("%s is a link and is not sent to MLflow", path)
            elif path.is_file() and not path.name.startswith("."):  # scratch files and locks
                files.append(path)
        return [
            printable(str(path.relative_to(folder)))
            for path in files
            if send_all([path], lambda one: self._send_file(run_id, one[0], folder, below))
        ]

    def _send_file(self, run_id: str, path: Path, folder: Path, below: Path) -> None:
        place = below / path.parent.relative_to(folder)
        self._client.log_artifact(run_id, str(path), place.as_posix() if place.parts else None)


def _ids(records: Iterable[Path]) -> Iterator[str]:
    """Of records that can be read."""
    for path in records:
        with suppress(TamisError):
            yield read_record_file(path).id


def _oldest(runs: Iterable[Run]) -> Run:
    """The one that all processes agree on."""
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id))
