"""Where a study is kept: SQLite, a journal file, or a database by its URL."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._patience import make_patient
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

log = logging.getLogger(__name__)
SQLITE, JOURNAL = "study.db", "study.journal"
CONNECTIONS = {"pool_pre_ping": True}
"""A server may close what was idle during a long trial: ask before use."""


def storage_address(storage: str | None, folder: Path, n_jobs: int) -> str:
    """URL or path of the study's storage.

    Parameters
    ----------
    storage : as configured; None: what is in ``folder`` already, else SQLite for one process, a journal for several.

    Raises
    ------
    StudyError : SQLite for several processes.
    """
    if storage is None:
        there = [name for name in (SQLITE, JOURNAL) if (folder / name).exists()]
        is_address = "?" not in str(folder)  # which ends the path in the address of a database
        name = there[0] if there else SQLITE if n_jobs == 1 and is_address else JOURNAL
        storage = f"sqlite:///{folder / SQLITE}" if name == SQLITE else str(folder / JOURNAL)
    if storage.startswith("sqlite:") and n_jobs > 1:
        raise StudyError(
            f"{storage} is for one process, and hydra.sweeper.n_jobs is {n_jobs}; go on with n_jobs=1, or begin a "
            "study on a journal file (hydra.sweeper.storage=<file>.journal) or a database server"
        )
    return storage


def is_server(address: str) -> bool:
    """Whether it is that of a database server, not of a file."""
    return "://" in address and not address.startswith("sqlite:")


def open_storage(address: str, patience_s: float = 0.0) -> BaseStorage:
    """The storage at a URL, or the journal file at a path; made where there is none.

    A server that is not there is an error at once; one that goes away later is waited for, ``patience_s`` seconds.

    Raises
    ------
    StudyError : it cannot be reached, written or read, or was made by a newer Optuna.
    """
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in address:
        path = Path(address)
        _repair_journal(path)
        try:
            return JournalStorage(JournalFileBackend(address, lock_obj=KernelLock(path)))  # type: ignore[arg-type] # a duck
        except Exception as error:
            raise StudyError(
                f"the journal {path} cannot be read ({type(error).__name__}: {error}); was it made by a newer Optuna?"
            ) from error
    if address.startswith("sqlite:///"):
        _check_sqlite(Path(address.removeprefix("sqlite:///")))
    try:
        if is_server(address):
            server = RDBStorage(address, engine_kwargs=CONNECTIONS)
            if patience_s > 0:
                make_patient(server, patience_s)
            return get_storage(server)
        storage = RDBStorage(address)
        _wait_less(storage)
        return get_storage(storage)
    except ImportError as error:
        raise StudyError(f"{redacted(address)} needs a driver that is not installed ({error})") from error
    except RuntimeError as error:  # what Optuna raises for a schema that it does not know
        raise StudyError(f"{redacted(address)} is of another Optuna: {error}") from error
    except Exception as error:  # SQLAlchemy's, and those of each driver
        reason = str(error).splitlines()[0]
        raise StudyError(
            f"hydra.sweeper.storage={redacted(address)} cannot be opened: {reason}; is the server running, is the "
            "URL right, is there a right to write?"
        ) from error


def _wait_less(storage: RDBStorage) -> None:
    """Let SQLite write ahead: a kill loses nothing, a power cut the last trials; a write takes 1 ms, not 20."""
    from sqlalchemy import event

    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", prepare)
    storage.remove_session()
    storage.engine.dispose()  # of connections made before


def _check_sqlite(path: Path) -> None:
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"no folder for {path} ({error.strerror}); choose another hydra.sweeper.storage"
        ) from error
    if not os.access(path if path.exists() else folder, os.W_OK) or not os.access(folder, os.W_OK):
        raise StudyError(
            f"{path} may only be read; get the right to write to it and its folder, or choose another "
            "hydra.sweeper.storage"
        )


def _repair_journal(path: Path) -> None:
    """Cut off a last line that was not written to its end; raise StudyError for any other damage."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as journal, KernelLock(path):
            for number, line in enumerate(journal, start=1):
                _check_line(path, number, line)
    except OSError as error:
        raise StudyError(
            f"the journal {path} cannot be written ({error.strerror}); choose another hydra.sweeper.storage"
        ) from error


def _check_line(path: Path, number: int, line: bytes) -> None:
    try:
        json.loads(line)
    except ValueError as error:
        raise StudyError(
            f"{path} is damaged in line {number} ({error}); restore it from a copy, or cut the file before that line "
            "to go on with what came before"
        ) from error


def _cut_torn_line(path: Path) -> None:
    """Cut off what a write that failed, or a process that was killed in it, left behind the last whole line.

    Only who has the lock may do so: nobody is writing then. What a torn line meant to say was never confirmed to
    whoever wrote it. Left alone, the next line would be appended to it and both be lost. Optuna reads without the
    lock, which does no harm: it goes on from the last whole line, not behind a torn one, and not beyond the size that
    the file had before it was read, where the next line may have joined what was read of the torn one.
    """
    with path.open("rb") as journal:
        size = journal.seek(0, os.SEEK_END)
        journal.seek(max(size - 1, 0))
        if journal.read() in (b"", b"\n"):
            return
        journal.seek(0)
        end = journal.read().rfind(b"\n") + 1
    log.warning("%s ended in the middle of a line, which is cut off", path)
    with path.open("r+b") as journal:
        journal.truncate(end)


class KernelLock:
    """A lock that the kernel gives back when its holder is killed; Optuna's own waits for half a minute then."""

    def __init__(self, path: Path) -> None:
        self._journal = path
        self._path = path.with_name(f"{path.name}.lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; the journal ends with a whole line then."""
        self._file = self._path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            _cut_torn_line(self._journal)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> KernelLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
