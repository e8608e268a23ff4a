"""Who is working on a study: a locked file for each process, whose lock ends with the process however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

FOLDER = ".workers"


@dataclass
class Presence:
    """This process among those that work on the study in ``folder``; a context manager.

    POSIX locks are used: a process that this one forks does not hold them, and they work on network file systems.
    """

    folder: Path
    token: str = field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    )
    _file: IO[str] | None = None

    def __enter__(self) -> Presence:
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with self.alone():  # who looked between the two lines would find a dead process, and remove its file
            self._file = self._path(self.token).open("w")
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._path(self.token).unlink(missing_ok=True)
            self._file.close()

    def _path(self, token: str) -> Path:
        return self.folder / FOLDER / token.replace("/", "_")

    def is_alive(self, token: str) -> bool | None:
        """Whether the process with this token lives; None: it cannot be seen from here.

        Raises
        ------
        OSError : the file system does not say.
        """
        if token == self.token:  # opening and closing the own file would give up the lock
            return True
        try:
            with self._path(token).open("r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return _is_running(token)
        except (BlockingIOError, PermissionError):  # the two ways to say that somebody holds the lock
            return True
        return False

    def others(self) -> list[str]:
        """Tokens of the other processes that live."""
        return [token for token in self._tokens() if token != self.token and self.is_alive(token)]

    def gone(self) -> list[str]:
        """Tokens of processes that died and left their files."""
        return [token for token in self._tokens() if self.is_alive(token) is False]

    def clear(self, tokens: Iterable[str]) -> None:
        """Remove what these dead processes left; their trials have to be seen to before."""
        for token in tokens:
            self._path(token).unlink(missing_ok=True)

    def _tokens(self) -> list[str]:
        return [path.name for path in (self.folder / FOLDER).glob("*:*:*")]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the other processes of this folder out of the block."""
        with (self.folder / FOLDER / "alone.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _is_running(token: str) -> bool | None:
    """Of a process that works in another folder: on this machine its number tells, of other machines nothing does."""
    host, pid, _ = token.split(":")
    if host != socket.gethostname():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
