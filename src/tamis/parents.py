"""What a sweep, study or search is called in MLflow: a file in its folder, from which any server's run is found."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.files import write_atomically
from tamis.secrets import redacted

if TYPE_CHECKING:
    from tamis.tracking import NoTracker, Tracker

PARENT_FILE = "mlflow_parent.json"
UNREACHABLE = ""
"""Id of the run where MLflow could not be reached."""
MISSED = ".mlflow_missed"
"""A file in a sweep's folder where a trial could not be logged: the sweep makes that up at its end."""
LOCK_FILE = ".lock"
"""What is locked of a folder: a network file system locks nothing that cannot be opened for writing."""
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


def hold(path: Path) -> int | None:
    """Lock a file or folder against others that ask for the same; returns what ``os.close`` gives back.

    A folder gets an empty ``LOCK_FILE``. A file system that knows no such locks, or a path that is not there, keeps
    nobody out: what is written twice then is found by the next ``tamis-sync``.
    """
    handle = _opened(path, os.O_CREAT if path.is_dir() else 0)
    if handle is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _opened(path: Path, more: int = 0) -> int | None:
    """A handle that can be locked; for reading where nothing may be written, which a local file system locks, too."""
    place = path / LOCK_FILE if path.is_dir() else path
    for flags in (os.O_RDWR | more, os.O_RDONLY):
        with suppress(OSError):
            return os.open(place, flags, 0o666)
    return None


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Keep others that ask for the same out of the block, as ``hold`` does."""
    handle = hold(path)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def is_in_use(path: Path) -> bool:
    """Whether another process holds a lock on this file or folder."""
    handle = _opened(path)
    if handle is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
