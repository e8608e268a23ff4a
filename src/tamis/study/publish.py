"""A study's runs in MLflow: one writer, each trial once, whatever was killed in between."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from tamis.record import SKIPPED, read_record
from tamis.report.tables import in_one_line
from tamis.store import write_atomically
from tamis.sweep import PARENT_FILE
from tamis.tracking import Tracker

log = logging.getLogger(__name__)
JOURNAL = "mlflow_runs.txt"
"""A line when a trial's run is begun, and one when it is written: to ask MLflow for each takes minutes."""
BEGUN, WRITTEN = "begun", "written"


@dataclass
class Publisher:
    """Writes the records of a study's folder to MLflow, under one parent that a resumed study goes on with.

    Where MLflow cannot be reached that is told once; what is missing is made up when the study is started again.
    """

    tracker: Tracker
    folder: Path
    parent: str = ""
    written: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Find or make the parent; remove runs that were being written when the study was killed."""
        try:
            self.parent = self._earlier_parent()
            if self.parent:
                self._read_journal()
            else:  # a new study, or another database: everything is written there
                self.parent = self.tracker.start_parent(f"study {self.folder.name}")
                identity = {
                    "run_id": self.parent,
                    "uri": self.tracker.uri,
                    "experiment": self.tracker.experiment,
                }
                (self.folder / JOURNAL).unlink(missing_ok=True)
                write_atomically(self.folder / PARENT_FILE, json.dumps(identity).encode())
        except Exception as error:
            self._give_up(error)

    def _earlier_parent(self) -> str:
        try:
            found = json.loads((self.folder / PARENT_FILE).read_text())
        except FileNotFoundError:
            return ""
        if (found["uri"], found["experiment"]) != (self.tracker.uri, self.tracker.experiment):
            return ""
        return str(found["run_id"]) if self.tracker.reopen_parent(found["run_id"]) else ""

    def _read_journal(self) -> None:
        path = self.folder / JOURNAL
        text = path.read_text() if path.exists() else ""
        if text and not text.endswith("\n"):  # a kill has cut the last line: the next is one of its own
            with path.open("a") as file:
                file.write("\n")
        lines = [line.split() for line in text.splitlines()]
        state = {words[1]: words[0] for words in lines if len(words) == 2}
        self.written = {name for name, last in state.items() if last == WRITTEN}
        for name in state.keys() - self.written:
            self.tracker.remove(self.folder / name)

    def publish(self, name: str) -> None:
        """Write the run of a trial that has ended, in place of an earlier one; a skipped combination is no run."""
        if not self.parent:
            return
        place = self.folder / name
        record = read_record(place)
        if record.status == SKIPPED:
            return
        try:
            self._note(BEGUN, name)
            if name in self.written:
                self.tracker.remove(place)
            self.tracker.write(record, place, self.parent)
            self._note(WRITTEN, name)
            self.written.add(name)
        except Exception as error:
            self._give_up(error)

    def close(self, status: str) -> None:
        """End the parent: FINISHED, or KILLED where trials are left."""
        if not self.parent:
            return
        try:
            self.tracker.end_parent(self.parent, status)
        except Exception as error:
            self._give_up(error)

    def _note(self, what: str, name: str) -> None:
        with (self.folder / JOURNAL).open("a") as file:
            file.write(f"{what} {name}\n")

    def _give_up(self, error: Exception) -> None:
        self.parent = ""
        log.warning(
            "nothing more is logged to MLflow (%s); the records are in %s, and are logged at the next start",
            in_one_line(str(error)),
            self.folder,
        )
