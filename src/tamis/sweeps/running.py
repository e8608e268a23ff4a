"""What a worker does: run the trial of a job, or make the rows that many trials share."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tamis.core.configuration import register_resolvers
from tamis.parts import Parts, build_part
from tamis.records.record import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    RECORD_FILE,
    RUNNING,
    TrialRecord,
    read_record,
)
from tamis.records.versions import versions
from tamis.sweeps.folder import RUNNING_FOLDER
from tamis.sweeps.job import Job
from tamis.trial import run_resolved

log = logging.getLogger(__name__)
Watch = Callable[[float, int], bool]


class SharedParts:
    """Builds the objects that configurations name, each once: its engine is started once, what it read is kept."""

    def __init__(self) -> None:
        self._built: dict[tuple[str, str], Any] = {}

    def __call__(self, config: Mapping[str, Any]) -> Parts:
        """The parts of a trial."""
        return Parts.of(config, self._part)

    def _part(self, name: str, config: Any) -> Any:
        key = (name, json.dumps(config, sort_keys=True))
        if key not in self._built:
            self._built[key] = build_part(name, config)
        return self._built[key]


SHARED = SharedParts()


def run_job(job: Job, folder: Path, watch: Watch | None = None) -> str:
    """Run a job's trial beside the others' folders, and put its own in place when it has ended."""
    final = folder / job.name
    if (final / RECORD_FILE).exists() and read_record(final).status == COMPLETE:
        return COMPLETE
    register_resolvers()
    place = folder / RUNNING_FOLDER / f"{job.name.replace('/', '.')}.{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    record = run_resolved(job.config, place, job.overrides, SHARED)
    put_in_place(place, final)
    return record.status


def make_rows(config: Mapping[str, Any]) -> None:
    """Make the rows and values that trials of this configuration need, where the store does not have them."""
    register_resolvers()
    try:
        parts = SHARED(config)
        dataset = parts.source.load()
        parts.model.prepare(dataset, parts.store)
        parts.store.lazy_values(parts.descriptor, dataset.structures)
    except Exception as error:
        log.info("rows are not made beforehand: %s", error)  # the trials that need them will say why


def leave_failure(job: Job, folder: Path, reason: str) -> None:
    """Make a failed record of a job that left none."""
    record = TrialRecord(config=dict(job.config), overrides=list(job.overrides), versions=versions())
    record.status, record.reason = FAILED, reason
    record.save(folder / job.name)


def put_in_place(place: Path, final: Path) -> None:
    """Rename ``place`` to ``final``; the record of an earlier try goes along."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        earlier = read_record(final)
        if earlier.status not in (RUNNING, INTERRUPTED):
            number = 1 + sum(1 for _ in final.glob("earlier_*.json"))
            shutil.copy(final / RECORD_FILE, place / f"earlier_{number}.json")
        for path in final.glob("earlier_*.json"):
            shutil.copy(path, place / path.name)
        shutil.rmtree(final)
    place.rename(final)
