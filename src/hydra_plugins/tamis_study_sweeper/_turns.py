"""Workers that share cores take turns: more of them than cores would only push each other out of the caches."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

POLL_S = 0.005


@dataclass(frozen=True)
class Turns:
    """Lets ``n`` of the processes with this ``folder`` that may use the same cores work at a time.

    Locks are POSIX ones, as those of ``Presence``: a turn ends with its process however that ends. Processes on other
    machines, or bound to other cores by a cluster, have turns of their own.
    """

    folder: Path
    n: int

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, in the order of asking, and keep it for the block."""
        with self._open("next") as first_in_line:
            fcntl.lockf(first_in_line, fcntl.LOCK_EX)
            turn = self._free_one()
        try:
            yield
        finally:
            turn.close()

    def _free_one(self) -> IO[str]:
        """A locked file; only the process that is first in line looks for one."""
        while True:
            for number in range(self.n):
                file = self._open(str(number))
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except (BlockingIOError, PermissionError):  # the two ways to say that another one has it
                    file.close()
                else:
                    return file
            time.sleep(POLL_S)

    def _open(self, name: str) -> IO[str]:
        cores = sum(1 << core for core in usable_cores())
        return (self.folder / f"turn.{socket.gethostname()}.{cores:x}.{name}").open("w")


def usable_cores() -> set[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
