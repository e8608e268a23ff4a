"""A sweep's runs in MLflow: written from the records by one thread of the one process that owns the sweep."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TypeGuard

from tamis.analysis.protocol import PROTOCOL_FILE
from tamis.core.errors import TamisError
from tamis.core.messages import in_one_line, reason_of
from tamis.records.record import RUNNING, SKIPPED, TrialRecord
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.summary import REPORT, SUMMARY_FILE, VERDICT_FILE, read_summary
from tamis.tracking.content import USER, owner_of
from tamis.tracking.tracker import Tracker

log = logging.getLogger(__name__)
PAUSE_S = 60.0
"""Seconds without a try after MLflow could not be reached: each try may take long."""
FILES = (
    *("results.csv", "errors.png", "best.csv", "search.html", "*/smallest.html", SUMMARY_FILE, PROTOCOL_FILE),
    *(f"{REPORT}/report.html", f"{REPORT}/report.md", VERDICT_FILE),
)
"""Patterns of the files in the sweep's folder that its run gets as artifacts."""


class Publisher:
    """Writes the run of each trial under the run of its sweep, each once, whatever was killed before.

    Used as a context manager. When it begins it deletes the runs of trials that are run again, and writes the records
    of the folder that MLflow does not have. While MLflow is away trials go on; what is missing is written when it is
    back, at the next start, or by ``tamis sync``. ``page`` is the address at which a browser shows them.

    Parameters
    ----------
    tracker : None: nothing is written. known : name -> record id of trials that were read before.
    """

    def __init__(
        self,
        tracker: Tracker | None,
        folder: SweepFolder,
        sweep: Sweep,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self.tracker, self.folder, self.sweep, self.known = tracker, folder, sweep, known or {}
        self.n_new = self.n_there = 0
        self.failed: list[str] = []
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._waiting: deque[str] = deque()
        self._written: set[str] = set()
        self._parent = ""
        self.page = ""
        self._outcome = "FINISHED"
        self._abandon = False
        self._pause_until = 0.0
        self._warned = False
        self._thread = Thread(target=self._work, args=(tracker,), name="MLflow", daemon=True)

    def __enter__(self) -> Publisher:
        if self.tracker is not None:
            self._thread.start()
        return self

    def publish(self, name: str) -> None:
        """Write the run of a trial that has ended, soon."""
        if self.tracker is not None:
            self._queue.put(name)

    @property
    def n_left(self) -> int:
        """Trials whose run could not be written, since MLflow was away."""
        return len(self._waiting)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, send the sweep's files, and end its run: FINISHED, or KILLED where trials are left."""
        if self.tracker is None:
            return
        if error is not None:
            self._outcome = "KILLED"
            self._abandon = isinstance(error, KeyboardInterrupt)  # the next start writes the rest
        self._queue.put(None)
        self._thread.join()

    def _work(self, tracker: Tracker) -> None:
        self._waiting.extend(self.folder.names())  # those of earlier starts, which may be there
        self._try_to_open(tracker)
        ends = False
        while not ends:
            self._write_waiting(tracker)
            try:
                item = self._queue.get(timeout=PAUSE_S if self._waiting else None)
            except Empty:
                continue
            if item is not None:
                self._waiting.append(item)
                continue
            ends = True
            self._pause_until = 0.0
        self._write_waiting(tracker)
        self._end(tracker)

    def _try_to_open(self, tracker: Tracker) -> bool:
        try:
            if not self._parent:
                parent = tracker.open_parent(self.sweep.id, self.sweep.name, self._tags())
                runs = tracker.children(parent)
                for id in self.folder.earlier_ids() & runs.keys():
                    tracker.delete(runs.pop(id))
                self._written = set(runs)
                self._parent, self.page = parent, tracker.page
        except Exception as error:
            self._pause(error)
        return bool(self._parent)

    def _tags(self) -> dict[str, str]:
        command = " ".join(["tamis -m", *self.sweep.command])
        tags = {"tamis.folder": str(self.folder.path), "tamis.command": " ".join(self.sweep.command)}
        tags |= {
            "mlflow.source.name": command,
            "mlflow.source.type": "LOCAL",
            USER: owner_of(self.folder.path),
        }
        return tags | ({"tamis.study": self.sweep.study} if self.sweep.study else {})

    def _write_waiting(self, tracker: Tracker) -> None:
        if time.monotonic() < self._pause_until or not self._waiting or not self._try_to_open(tracker):
            return
        while self._waiting and not self._abandon:
            name = self._waiting[0]
            try:
                self._write(tracker, name)
            except Exception as error:
                if not tracker.answers():
                    self._pause(error)
                    return
                self.failed.append(f"{name}: {in_one_line(reason_of(error))}")
                log.warning("%s is not logged to MLflow: %s", self.folder.path / name, self.failed[-1])
            self._waiting.popleft()

    def _write(self, tracker: Tracker, name: str) -> None:
        if self.known.get(name) in self._written:
            self.n_there += 1
            return
        try:
            record = self.folder.record(name)
        except TamisError as error:  # damaged, or from elsewhere
            self.failed.append(str(error))
            return
        if not _has_run(record):
            return
        if record.id in self._written:
            self.n_there += 1
            return
        tracker.write(record, self.folder.path / name, self._parent)
        self._written.add(record.id)
        self.n_new += 1

    def _end(self, tracker: Tracker) -> None:
        if not self._parent:
            return
        try:
            for path in (path for name in FILES for path in sorted(self.folder.path.glob(name))):
                tracker.attach(self._parent, path)
            tracker.describe(self._parent, read_summary(self.folder.path), self._best())
            tracker.end_parent(self._parent, self._outcome)
        except Exception as error:
            self._pause(error)

    def _best(self) -> Mapping[str, float]:
        """The best values of the sweep, which it may have got since this began."""
        sweep = self.folder.sweep()
        return sweep.best if sweep else {}

    def _pause(self, error: Exception) -> None:
        if not self._warned:
            log.warning(
                "MLflow cannot be reached (%s); trials go on, their records are in %s, and tamis sync %s sends them",
                in_one_line(reason_of(error)),
                self.folder.path,
                self.folder.path,
            )
        self._warned = True
        self._pause_until = time.monotonic() + PAUSE_S
        self._parent = ""  # reopened at the next try, which also deletes half-written runs


def send_single(tracker: Tracker, folder: Path) -> bool:
    """Write the run of a trial that belongs to no sweep, unless it is there; returns whether it is new."""
    record = SweepFolder(folder.parent).record(folder.name)
    if not _has_run(record) or tracker.has(record.id):
        return False
    tracker.write(record, folder)
    return True


def _has_run(record: TrialRecord | None) -> TypeGuard[TrialRecord]:
    """Whether MLflow gets a run of it; a combination that means nothing is none."""
    return record is not None and record.status not in (RUNNING, SKIPPED)
