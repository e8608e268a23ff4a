"""Running one job of a sweep in whatever process it was sent to; its folder appears whole, when the trial has ended."""

from __future__ import annotations

import gc
import glob
import json
import logging
import shutil
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from tamis.core.configuration import register_resolvers
from tamis.core.errors import StoppedError
from tamis.parts import Parts, build_part
from tamis.records.record import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RECORD_FILE,
    RUNNING,
    TrialRecord,
    read_record,
    versions,
)
from tamis.sweeps.job import Job
from tamis.sweeps.workers import ALLOWED_DEATHS, Watch, WorkerDiedError
from tamis.trial import run_resolved

log = logging.getLogger(__name__)
RUNNING_FOLDER = ".running"
"""Below a sweep's folder: the trials that have not ended. Whoever begins to run a sweep there removes it first."""
MOST_PARTS = 200
"""Objects that a process keeps for later trials; a search may name a new one in each trial."""


class SharedParts:
    """Builds the objects that configurations name, each once: engines are started once, data are read once."""

    def __init__(self) -> None:
        self._built: dict[tuple[str, str], Any] = {}

    def __call__(self, config: Mapping[str, Any]) -> Parts:
        """The parts of a trial."""
        return Parts.of(config, self._part)

    def _part(self, name: str, config: Any) -> Any:
        key = (name, json.dumps(config, sort_keys=True))
        if key not in self._built:
            if len(self._built) >= MOST_PARTS:
                self._built.clear()
            self._built[key] = build_part(name, config)
        return self._built[key]


@cache
def shared_parts() -> SharedParts:
    """What the trials of this process share."""
    register_resolvers()
    gc.collect()
    gc.freeze()  # modules stay until the process ends; the collector need not visit them in each round
    return SharedParts()


def run_job(job: Job, folder: Path, watch: Watch | None = None) -> str:
    """Run a job, unless its record says that it has ended; returns the status.

    Parameters
    ----------
    folder : of the sweep. watch : gets the value of the only objective and a step, after each point of a learning curve
    and each stage of the evaluation; True ends the trial.

    Raises
    ------
    WorkerDiedError : the trial was begun several times, and each time its process died.
    """
    final = folder / job.name
    if (status := _ended(final)) is not None:  # Dask asks again where it lost the answer
        return status
    if (n := len(_begun(job, folder))) > ALLOWED_DEATHS:
        raise WorkerDiedError.after(n)
    place = folder / RUNNING_FOLDER / f"{job.name}.{uuid.uuid4().hex[:8]}"
    place.mkdir(parents=True)
    number = place.stat().st_ino
    record = run_resolved(job.config, place, job.overrides, shared_parts(), _watching(job, watch))
    if place.exists() and place.stat().st_ino == number:  # else another command runs this sweep by now
        put_in_place(place, final)
    return record.status


def make_rows(config: Mapping[str, Any]) -> None:
    """Make the rows and values that trials of this configuration need, where the store does not have them."""
    try:
        parts = shared_parts()(config)
        dataset = parts.source.load()
        parts.model.prepare(dataset, parts.store)
        parts.store.lazy_values(parts.descriptor, dataset.structures)
    except Exception as error:
        log.warning("not prepared: %s", error)  # the trials that need it will say why


def leave_failure(job: Job, folder: Path, reason: str) -> None:
    """Leave the record of a job whose process died; it keeps what had been measured before."""
    begun = [place for place in _begun(job, folder) if (place / RECORD_FILE).exists()]
    if begun:
        place = max(begun, key=lambda place: (place / RECORD_FILE).stat().st_mtime)
        record = read_record(place)
    else:
        place = folder / RUNNING_FOLDER / f"{job.name}.failed"
        place.mkdir(parents=True, exist_ok=True)
        record = TrialRecord(dict(job.config), list(job.overrides), versions())
    record.status, record.reason = FAILED, reason
    record.save(place)
    put_in_place(place, folder / job.name)


def put_in_place(place: Path, final: Path) -> None:
    """Rename ``place`` to ``final``; an earlier success stays, the record of an earlier failure goes along."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.rename(final)  # at once: it fails where there is a folder with something in it
        return
    except OSError:
        if not final.exists():
            raise
    if _ended(final) == COMPLETE:  # by a worker that had outlived its command
        shutil.rmtree(place)
        return
    for earlier in (*final.glob("earlier_*.json"), *final.glob(RECORD_FILE)):
        number = 1 + sum(1 for _ in place.glob("earlier_*.json"))
        shutil.copy(earlier, place / f"earlier_{number}.json")
    old = place.with_name(f"{place.name}.old")
    final.rename(old)
    place.rename(final)
    shutil.rmtree(old)


def _ended(final: Path) -> str | None:
    """The status of a trial that has ended."""
    status = read_record(final).status if (final / RECORD_FILE).exists() else None
    return None if status in (RUNNING, INTERRUPTED) else status


def _begun(job: Job, folder: Path) -> list[Path]:
    """What is left of a trial where its process died."""
    return list((folder / RUNNING_FOLDER).glob(f"{glob.escape(job.name)}.*"))


def _watching(job: Job, watch: Watch | None) -> Callable[[TrialRecord], None]:
    """Tell ``watch`` the objective, and end the trial if it says so."""
    name, steps = job.config["objective"], count()

    def tell(record: TrialRecord) -> None:
        step = next(steps)
        if watch is None or not isinstance(name, str) or name not in record.metrics:
            return
        if watch(record.metrics[name], step):
            raise StoppedError(f"stopped by the search after stage {step}, {name} {record.metrics[name]:.6g}")

    return tell
