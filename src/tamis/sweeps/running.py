"""Runs one trial of a sweep in a worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tamis.core.errors import StoppedError
from tamis.parts import Parts
from tamis.records.record import (
    FAILED,
    INTERRUPTED,
    RECORD_FILE,
    RUNNING,
    TrialRecord,
    read_record,
    versions,
)
from tamis.sweeps.job import Job
from tamis.trial import _ended, _run


def run_job(job: Job, folder: Path, watch: Callable[[float, int], bool] | None = None) -> str:
    """Run a trial, and put its folder in place when it has ended."""
    final = folder / job.name
    if (final / RECORD_FILE).exists():
        status = read_record(final).status
        if status not in (RUNNING, INTERRUPTED):
            return status
    place = folder / ".running" / f"{job.name}.{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    record = TrialRecord(config=dict(job.config), overrides=list(job.overrides), versions=versions())
    steps, names = count(), job.config["objective"]
    name = names if isinstance(names, str) else names[0]

    def seen(record: TrialRecord) -> None:
        step = next(steps)
        if watch is not None and name in record.metrics and watch(record.metrics[name], step):
            raise StoppedError(
                f"stopped by the search after stage {step}, {name} {record.metrics[name]:.6g}"
            )

    _ended(record, place, lambda: _run(Parts.of, record, place, seen))
    final.parent.mkdir(parents=True, exist_ok=True)
    place.rename(final)
    return record.status


def leave_failure(job: Job, folder: Path, reason: str) -> None:
    """Write a failed record for a trial whose worker died."""
    record = TrialRecord(config=dict(job.config), overrides=list(job.overrides), versions=versions())
    record.status, record.reason = FAILED, reason
    (folder / job.name).mkdir(parents=True, exist_ok=True)
    record.save(folder / job.name)
