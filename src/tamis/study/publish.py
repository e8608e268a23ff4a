"""A study's runs in MLflow: one writer, each trial once, whatever was killed in between."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tamis.records.record import SKIPPED, read_record
from tamis.report.tables import in_one_line
from tamis.tracking import NoTracker, Tracker
from tamis.tracking.parents import PAUSE_S, UNREACHABLE, Parent, read_parent

log = logging.getLogger(__name__)
JOURNAL = "mlflow_runs.txt"
"""A line when a trial's run is written, and when it is run again: to ask MLflow for each takes minutes."""
WRITTEN, AGAIN = "written", "again"


@dataclass
class Publisher:
    """Writes the records of a study's folder to MLflow, under one parent that a resumed study goes on with.

    While MLflow cannot be reached trials wait; they are written when it is there again, or when the study is started
    again.

    parent: id of the run; empty while it is not known. written: names of trials that have their runs.
    waiting: of those that have not. pause_until: of the clock ``time.monotonic``.
    """

    tracker: Tracker | NoTracker
    folder: Path
    parent: str = ""
    written: set[str] = field(default_factory=set)
    waiting: deque[str] = field(default_factory=deque)
    pause_until: float = 0.0

    def open(self) -> None:
        """Find or make the parent, and which trials have their runs under it."""
        try:
            known = read_parent(self.folder) or Parent(f"study {self.folder.name}")
            known.write(self.folder)  # before the run: what is made and not told of is found by its id
            parent = self.tracker.open_parent(known)
            if parent == UNREACHABLE:  # without tracking: nothing is written, and what was is not forgotten
                return
            if known.is_at(self.tracker) and known.run_id == parent:
                self._read_journal()
            else:  # a new study, or another database: everything is written there that it does not have
                (self.folder / JOURNAL).unlink(missing_ok=True)
                known.at(self.tracker, parent).write(self.folder)
            self.parent = parent
        except Exception as error:
            self._pause(error)

    def _read_journal(self) -> None:
        path = self.folder / JOURNAL
        text = path.read_text() if path.exists() else ""
        if text and not text.endswith("\n"):  # a kill has cut the last line: the next is one of its own
            with path.open("a") as file:
                file.write("\n")
        lines = [line.split() for line in text.splitlines()]
        last = {words[1]: words[0] for words in lines if len(words) == 2}
        self.written = {name for name, what in last.items() if what == WRITTEN}

    def forget(self, names: Iterable[str]) -> None:
        """These trials are run again: their runs are to be replaced, even if a kill comes in between."""
        for name in self.written.intersection(names):
            self._note(AGAIN, name)
            self.written.discard(name)

    def publish(self, name: str) -> None:
        """Write the run of a trial that has ended, in place of an earlier one; a skipped combination is no run."""
        if read_record(self.folder / name).status != SKIPPED:
            self.waiting.append(name)
        if time.monotonic() >= self.pause_until:
            self._write_waiting()

    def _write_waiting(self) -> None:
        if not self.parent:
            self.open()
        while self.parent and self.waiting:
            place = self.folder / self.waiting[0]
            try:
                self.tracker.write(read_record(place), place, self.parent)
            except Exception as error:
                if not self.tracker.answers():
                    self._pause(error)
                    return
                log.warning("%s is not logged (%s)", place, in_one_line(str(error)))
            else:
                self._note(WRITTEN, place.name)
                self.written.add(place.name)
            self.waiting.popleft()

    def close(self, status: str) -> None:
        """Write what waits, and end the parent: FINISHED, or KILLED where trials are left."""
        if not self.parent and not self.waiting:
            return
        self._write_waiting()
        try:
            if self.parent:
                self.tracker.end_parent(self.parent, status)
        except Exception as error:
            self._pause(error)

    def _note(self, what: str, name: str) -> None:
        with (self.folder / JOURNAL).open("a") as file:
            file.write(f"{what} {name}\n")

    def _pause(self, error: Exception) -> None:
        if not self.pause_until:  # told once
            log.warning(
                "MLflow is away (%s); trials go on, their records are in %s; they are logged when it is back, at the "
                "next start, or by tamis-sync %s",
                in_one_line(str(error)),
                self.folder,
                self.folder,
            )
        self.pause_until = time.monotonic() + PAUSE_S
