"""Running one job of a sweep in whatever process it was sent to; its folder appears whole, when the trial has ended."""

from __future__ import annotations

import gc
import glob
import json
import logging
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from tamis.core.errors import StoppedError
from tamis.parts import Parts, build_part
from tamis.records.record import FAILED, RECORD_FILE, TrialRecord, read_record
from tamis.records.versions import versions
from tamis.report.curves import leave_curve
from tamis.sweeps.job import Job
from tamis.sweeps.same_sets import SameSets
from tamis.sweeps.workers import ShouldStop, WorkerDiedError
from tamis.trial import run_resolved

log = logging.getLogger(__name__)

RUNNING_FOLDER = ".running"
"""Below a sweep's folder: the trials that have not ended. Whoever begins to run a sweep there removes it first."""
EARLIER_FILES = "earlier_*.json"
"""Records of failures of a trial that was run again, beside its record."""
ALLOWED_DEATHS = 3
"""Restarts of a trial, or of rows that trials share, after a death; the next death fails the trial."""


def run_job(job: Job, folder: Path, watch: ShouldStop | None = None) -> str:
    """Run a job, unless its record says that it has ended; returns the status.

    Parameters
    ----------
    folder : of the sweep. watch : gets the objective, where there is one, and a step, after each point of a learning
    curve and each stage of the evaluation; True ends the trial.

    Raises
    ------
    WorkerDiedError : the process died each time the trial was begun.
    """
    final = folder / job.name
    if (status := _status_if_ended(final)) is not None:  # Dask asks again where it lost the answer
        return status
    place = _begin(job.name, folder)
    _freeze_modules()
    number = place.stat().st_ino
    sets = SameSets(folder) if job.may_take_over else None
    record = run_resolved(
        job.config,
        place,
        job.overrides,
        shared_parts,
        _telling(job, watch),
        job.labels,
        lambda record, kept: sets.find(record, kept) if sets else None,
    )
    # another command may have removed `place`; saving the record then makes a new folder under the same name
    if place.exists() and place.stat().st_ino == number:
        if job.config["artifacts"]:
            leave_curve(record, place)
        put_in_place(place, final)
        if sets:
            sets.add(job.name)
    return record.status


def make_rows(config: Mapping[str, Any], part: str, name: str, folder: Path) -> None:
    """Make the rows of the model, or the values of the descriptor, that the store does not have.

    Parameters
    ----------
    config : of a trial. part : "model" or "descriptor". name : of these rows. folder : of the sweep.

    Raises
    ------
    WorkerDiedError : the process died each time they were begun.
    """
    place = _begin(name, folder)
    try:
        parts = shared_parts(config)
        dataset = parts.source.load()
        if part == "model":
            parts.model.prepare(dataset, parts.store)
        else:
            parts.store.lazy_values(parts.descriptor, dataset.structures)
    except Exception as error:
        log.warning("not prepared: %s", error)  # the trials that need it will say why
    shutil.rmtree(place, ignore_errors=True)


def leave_failure(job: Job, folder: Path, reason: str) -> None:
    """Leave the record of a job whose process died; it keeps what had been measured before."""
    place = folder / RUNNING_FOLDER / f"{job.name}.failed"
    place.mkdir(parents=True, exist_ok=True)
    record = TrialRecord(dict(job.config), list(job.overrides), dict(job.labels), versions())
    for begun in _begun(job.name, folder):
        if (begun / RECORD_FILE).exists():
            record = read_record(begun)
    record.status, record.reason = FAILED, reason
    record.save(place)
    put_in_place(place, folder / job.name)


def set_aside(final: Path) -> None:
    """Rename a failed trial's record, where it has one, to ``earlier_<n>.json``, so that the trial runs again."""
    number = 1 + sum(1 for _ in final.glob(EARLIER_FILES))
    with suppress(FileNotFoundError):
        (final / RECORD_FILE).rename(final / EARLIER_FILES.replace("*", str(number)))


def put_in_place(place: Path, final: Path) -> None:
    """Rename ``place`` to ``final``, unless a trial has ended there; records of earlier failures stay."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for earlier in final.glob(EARLIER_FILES):
        shutil.copy(earlier, place)
    if _status_if_ended(final) is None:
        if final.exists():
            shutil.rmtree(final)
        place.rename(final)
    else:  # by a worker that had been given up and was not dead
        shutil.rmtree(place)


def shared_parts(config: Mapping[str, Any]) -> Parts:
    """The parts of a trial: those of earlier trials where they are equal, with what they have read and started."""
    return Parts.of(config, lambda name, node: _built(name, json.dumps(node)))


@lru_cache(maxsize=200)  # a search may name a new one in each trial
def _built(name: str, text: str) -> Any:
    return build_part(name, json.loads(text))


@cache
def _freeze_modules() -> None:
    """Tell the collector that what was imported stays, so that it need not visit that in each round."""
    gc.collect()
    gc.freeze()


def _status_if_ended(final: Path) -> str | None:
    """The status of a trial that has ended."""
    status = read_record(final).status if (final / RECORD_FILE).exists() else None
    return status if status and status.has_ended else None


def _begin(name: str, folder: Path) -> Path:
    """A new folder to work in, which is left where the process dies.

    Raises
    ------
    WorkerDiedError : that happened too often.
    """
    if (n := len(_begun(name, folder))) > ALLOWED_DEATHS:
        raise WorkerDiedError(
            f"its worker process died {n} times; was there too little memory (give workers more, or lower "
            "store.memory_gib), is their time limit too short, or does an engine crash (run the trial alone)?"
        )
    place = folder / RUNNING_FOLDER / f"{name}.{uuid.uuid4().hex[:8]}"
    place.mkdir(parents=True)
    return place


def _begun(name: str, folder: Path) -> list[Path]:
    """What is left of trials and preparations whose process died, and what runs."""
    return list((folder / RUNNING_FOLDER).glob(f"{glob.escape(name)}.*"))


def _telling(job: Job, watch: ShouldStop | None) -> Callable[[TrialRecord], None]:
    """Tells ``watch`` the objective, and ends the trial if it says so."""
    name, steps = job.config["objective"], count()

    def tell(record: TrialRecord) -> None:
        step, value = next(steps), record.measured.get(name) if isinstance(name, str) else None
        if watch is not None and value is not None and watch(value, step):
            raise StoppedError(f"stopped by the search after stage {step}, {name} {value:.6g}")

    return tell
