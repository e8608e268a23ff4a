"""From records to MLflow."""

from __future__ import annotations

import fcntl
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tamis.exceptions import TamisError
from tamis.parents import Parent, alone_in
from tamis.record import COMPLETE, STOPPED, TrialRecord, read_record_file
from tamis.secrets import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)
MAX_PARAM_LENGTH = 6000
"""MLflow cuts parameter values here."""
MAX_TAG_LENGTH = 5000
"""MLflow refuses longer ones."""
NO_PARAMS = ("store.", "dataset.cache", "dataset.base_url")
"""Where things are kept decides no result; the classes are told by the choices. Both are in record.json."""
PARTS_OF_DATA = ("train/", "validation/", "test/")
"""What the names of errors begin with: train/force_mae_eV_per_A, and with /<group> behind that of a group."""
BATCH = 1000
"""Most metrics that MLflow takes in one call."""
ID = "tamis.id"
"""Tag of every run: the id of its record or parent, the same on every server."""

EARLIER_RECORDS = "earlier_*.json"
"""Of a trial that failed and was done again, beside its record."""
ENDED = {COMPLETE: "FINISHED", STOPPED: "KILLED"}
"""MLflow's words for how a trial ended; all else failed."""


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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out while a SQLite database is made, migrated or written; servers need no lock."""
        if not self.uri.startswith("sqlite:///"):
            yield
            return
        path = Path(self.uri.removeprefix("sqlite:///") + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("a")
        except OSError as error:
            raise TamisError(
                f"no folder for {redacted(self.uri)} ({error.strerror}); choose another tracking.uri"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _client(self) -> MlflowClient:
        return _client(self.uri)

    @property
    def _experiment_id(self) -> str:
        return _experiment_id(self)

    def answers(self) -> bool:
        """Whether the server or database is there."""
        try:
            self._client.get_experiment_by_name(self.experiment)
        except Exception:  # MLflow's, and those of databases and their drivers
            return False
        return True

    def open_parent(self, parent: Parent, tags: Mapping[str, str] | None = None) -> str:
        """The run under which the runs of a folder hang, found or made; running, in any case; returns its id."""
        with self._alone():
            run_id = self._parent_run(parent)
            if run_id is None:
                own = redacted({"tamis.kind": "sweep", ID: parent.id, **(tags or {})})
                run = self._client.create_run(self._experiment_id, run_name=redacted(parent.name), tags=own)
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
        query, found, page = f"tags.`mlflow.parentRunId` = '{parent}'", [], None
        with self._alone():
            while True:
                runs = self._client.search_runs(
                    [self._experiment_id], query, max_results=1000, page_token=page
                )
                found += [
                    Child(
                        run.info.run_id,
                        run.data.tags.get(ID, ""),
                        run.data.tags.get("tamis.folder", ""),
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
            for name, value in tags.items():
                self._client.set_tag(run_id, name, redacted(value)[:MAX_TAG_LENGTH])

    def attach(self, run_id: str, folder: Path) -> None:
        """Copy a folder to the artifacts of a run, under its name; what is there of the same name is replaced."""
        with self._alone():
            self._client.log_artifacts(run_id, str(folder), folder.name)

    def write(
        self, record: TrialRecord, folder: Path, parent: str | None, more: Mapping[str, str] | None = None
    ) -> Written:
        """One run for one record, with ``more`` tags and the folder's files as artifacts.

        A record that has its whole run keeps it, a half written run is replaced, and so are the runs of the records
        of earlier failures that the folder holds. Others who write the same record wait, and find it written.
        """
        earlier = list(_ids(folder.glob(EARLIER_RECORDS)))
        with alone_in(folder), self._alone():
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
        tags = {
            "tamis.kind": "trial",
            ID: record.id,
            "tamis.status": record.status,
            "tamis.reason": record.reason,
            "tamis.folder": str(folder),
            "tamis.dataset_fingerprint": str(record.dataset.get("fingerprint", "")),
        }
        tags |= {f"tamis.problem.{stage}": reason for stage, reason in record.problems.items()}
        tags |= {f"version.{name}": version for name, version in record.versions.items()}
        tags |= more
        if "git" in record.versions:
            tags["mlflow.source.git.commit"] = record.versions["git"]
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        run = self._client.create_run(
            self._experiment_id,
            start_time=round(record.started * 1000),
            run_name=run_name(record.config),
            tags={key: value[:MAX_TAG_LENGTH] for key, value in redacted(tags).items() if value},
        )
        return str(run.info.run_id)

    def _fill(self, run_id: str, record: TrialRecord, folder: Path) -> None:
        from mlflow.entities import Metric, Param

        now = round(record.started * 1000)
        params = [
            Param(key, str(value)[:MAX_PARAM_LENGTH])
            for key, value in flatten(redacted(record.config))
            if not key.startswith(NO_PARAMS) and not key.endswith("_target_")
        ]
        metrics = [Metric(name, value, now, step) for name, value, step in self._points(record)]
        for start in range(0, max(len(metrics), 1), BATCH):
            self._client.log_batch(
                run_id, metrics=metrics[start : start + BATCH], params=params if start == 0 else []
            )
        if self.artifacts:
            self._client.log_artifacts(run_id, str(folder))
        self._client.set_terminated(run_id, ENDED.get(record.status, "FAILED"))

    def _points(self, record: TrialRecord) -> Iterator[tuple[str, float, int]]:
        """(name, value, step): the points of a learning curve, or the metrics once; step = kept structures."""
        on_curve: set[str] = set()
        for point in record.curve:
            for name, value in point["metrics"].items():
                on_curve.add(name)
                of_a_group = name.startswith(PARTS_OF_DATA) and name.count("/") > 1
                if math.isfinite(value) and (self.by_group or not of_a_group):
                    yield name, value, point["n_structures"]
        for name, value in record.metrics.items():
            if name not in on_curve and math.isfinite(value):
                yield name, value, 0


@cache
def _client(uri: str) -> MlflowClient:
    """The client, one a process."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what a user studies is nobody else's business
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line a run, password and all
    # a server that is down is told in seconds; MLflow by itself tries for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return MlflowClient(uri)


@cache
def _experiment_id(tracker: Tracker) -> str:
    """Id of the tracker's experiment, made where there is none; asked for once a process."""
    from mlflow.exceptions import MlflowException

    client = _client(tracker.uri)
    found = client.get_experiment_by_name(tracker.experiment)
    if found is not None:
        return str(found.experiment_id)
    on_sqlite = tracker.uri.startswith("sqlite:")
    location = Path(tracker.artifact_root).absolute().as_uri() if on_sqlite else None
    try:
        return str(client.create_experiment(tracker.experiment, artifact_location=location))
    except MlflowException:  # another process was faster
        found = client.get_experiment_by_name(tracker.experiment)
        if found is None:
            raise
        return str(found.experiment_id)


def _ids(records: Iterable[Path]) -> Iterator[str]:
    """Of records that can be read."""
    for path in records:
        with suppress(TamisError):
            yield read_record_file(path).id


def _oldest(runs: Iterable[Run]) -> Run:
    """The one that all processes agree on."""
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def run_name(config: Mapping[str, Any]) -> str:
    """model | descriptor pruner | budget | data | split, as they are called on the command line."""
    choices, data, budget = config.get("choices", {}), config.get("dataset", {}), config.get("budget", {})
    chosen_by = f"{choices.get('descriptor', '?')} {choices.get('pruner', '?')}".removeprefix("none ")
    amount = next((budget[key] for key in ("fraction", "n_structures", "n_atoms") if key in budget), None)
    kept = choices.get("budget", "?") if amount is None else f"{choices.get('budget', '?')} {amount}"
    source = f"{choices.get('dataset', '?')} {data.get('element', '')}".strip()
    split = f"split {config.get('seed', {}).get('split', '?')}"
    return " | ".join((str(choices.get("model", "?")), chosen_by, kept, source, split))


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested mapping under their Hydra names (``model.basis.r_cut``)."""
    for key, value in config.items():
        if (
            not prefix and key == "choices"
        ):  # the choice of a group is called as on the command line: descriptor=soap
            yield from value.items()
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value
