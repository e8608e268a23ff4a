"""What a sweep, study or search is called in MLflow: a file in its folder, from which any server's run is found."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.core.files import write_atomically
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from tamis.tracking import NoTracker, Tracker

PARENT_FILE = "mlflow_parent.json"
UNREACHABLE = ""
"""Id of the run where MLflow could not be reached."""
MISSED = ".mlflow_missed"
"""A file in a sweep's folder where a trial could not be logged: the sweep makes that up at its end."""
PAUSE_S = 60.0
"""Seconds without a try after MLflow could not be reached: each may take long."""


@dataclass(frozen=True)
class Parent:
    """The run under which the runs of a folder's trials hang.

    name: of the run. study: name of the Optuna study, of a search. id: its tag ``tamis.id``, the same on every server.
    run_id: on the server that ``uri`` and ``experiment`` name, where the trials write; elsewhere it is another one.
    """

    name: str
    study: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_id: str = UNREACHABLE
    uri: str = ""
    experiment: str = ""

    def at(self, tracker: Tracker | NoTracker, run_id: str) -> Parent:
        """The same with its run on a tracker's server."""
        return replace(self, run_id=run_id, uri=redacted(tracker.uri), experiment=tracker.experiment)

    def is_at(self, tracker: Tracker | NoTracker) -> bool:
        """Whether ``run_id`` is that of the tracker's server."""
        there = (self.uri, self.experiment) == (redacted(tracker.uri), tracker.experiment)
        return self.run_id != UNREACHABLE and there

    def write(self, folder: Path) -> None:
        """Leave it in the folder, whole or not at all."""
        write_atomically(folder / PARENT_FILE, json.dumps(redacted(asdict(self))).encode())


def read_parent(folder: Path) -> Parent | None:
    """The parent of the trials in ``folder``; None where the folder has none.

    Files of a version that gave no ids have that of the run, if there was one; else the folder's path stands in.
    """
    try:
        found = json.loads((folder / PARENT_FILE).read_text())
    except FileNotFoundError:
        return None
    known = {one.name for one in fields(Parent)}
    path = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:32]
    plain = {"name": f"sweep {folder.name}", "id": found.get("run_id") or path}
    return Parent(**{**plain, **{key: value for key, value in found.items() if key in known}})
