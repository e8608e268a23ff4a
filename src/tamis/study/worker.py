"""A process that runs trials one after the other, and keeps what they share."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.parts import Parts, build_part
from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.study.trials import Trial
from tamis.trial import run_resolved

log = logging.getLogger(__name__)
RUNNING_FOLDER = ".running"
"""Below a study's folder: trials that have not ended. A trial's own folder appears whole, when it has ended."""
OLD = ".old"
"""End of the name of a failed trial's folder, there, while the trial that was run again takes its place."""


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


def work(pipe: Connection, folder: Path) -> None:
    """Run the trials that come through ``pipe``, lists of them, and send back the name of each that has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the study ends its workers
    register_resolvers()
    parts = SharedParts()
    gc.collect()
    gc.freeze()  # imports stay; the collector need not visit them in each round
    while True:
        try:
            trials: list[Trial] = pipe.recv()
        except EOFError:  # the study has ended, or was killed
            return
        for trial in trials:
            try:
                run_one(trial, folder, parts)
            except (TamisError, OSError) as error:  # a full disk, say: not even the failure can be recorded
                sys.exit(f"{trial.name}: {error}")
            try:
                pipe.send(trial.name)
            except BrokenPipeError:
                return


def fill_store(configs: Sequence[Mapping[str, Any]]) -> None:
    """Make the rows and values that trials of these configurations need, where the store does not have them."""
    register_resolvers()
    shared = SharedParts()
    for config in configs:
        try:
            parts = shared(config)
            dataset = parts.source.load()
            parts.model.prepare(dataset, parts.store)
            parts.store.lazy_values(parts.descriptor, dataset.structures)
        except Exception as error:
            log.warning("not prepared: %s", error)  # the trials that need it will say why


def run_one(trial: Trial, folder: Path, parts: SharedParts) -> None:
    """Run a trial beside the others' folders, and put its own in place when it has ended."""
    place = folder / RUNNING_FOLDER / f"{trial.name}.{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    run_resolved(trial.config, place, trial.overrides, parts)
    put_in_place(place, folder / trial.name)


def put_in_place(place: Path, final: Path) -> None:
    """Rename ``place`` to ``final``; the record of an earlier failure goes along, an earlier success stays."""
    try:
        place.rename(final)  # at once: it fails where there is a folder with something in it
    except OSError:
        if not final.exists():
            raise
        if (final / RECORD_FILE).exists() and read_record(
            final
        ).status == COMPLETE:  # by a worker that outlived its study
            shutil.rmtree(place)
            return
        for earlier in (*final.glob("earlier_*.json"), *final.glob(RECORD_FILE)):
            number = 1 + sum(1 for _ in place.glob("earlier_*.json"))
            shutil.copy(earlier, place / f"earlier_{number}.json")
        old = place.with_name(f"{place.name}{OLD}")
        final.rename(old)
        place.rename(final)
        shutil.rmtree(old)


def set_aside(final: Path) -> None:
    """Make an earlier one of a trial's record: without a record it is not done."""
    number = 1 + sum(1 for _ in final.glob("earlier_*.json"))
    (final / RECORD_FILE).rename(final / f"earlier_{number}.json")
