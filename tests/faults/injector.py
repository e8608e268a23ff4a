"""Faults by counting: the n-th step that changes a file kills the process, or fails (see ``injector.c``)."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("injector.c")
LOADED = "TAMIS_FAULTS_LIBRARY"
"""Environment variable of a process into which the library is loaded: its path."""
COUNT, KILL, TORN, KILL_ALL, SHORT, ERROR, ERROR_FROM, CLOCK = range(8)
DAY_S = 86400
KINDS = {
    "killed": (KILL, 0),  # the process, before the step
    "torn": (TORN, 0),  # the process, when half of the bytes are written
    "group killed": (KILL_ALL, 0),  # with its workers: a node that goes down
    "short write": (SHORT, 0),  # the system takes half of the bytes and says so: nothing may be lost
    "disk full": (ERROR_FROM, errno.ENOSPC),  # from now on
    "full once": (ERROR, errno.ENOSPC),  # somebody made room again
    "bad sector": (ERROR, errno.EIO),
    "read-only": (ERROR_FROM, errno.EROFS),  # as file systems become after an error
    "clock back": (CLOCK, -DAY_S),
    "clock ahead": (CLOCK, 30 * DAY_S),
}
DEADLY = ("killed", "torn", "group killed")
HARMLESS = ("short write", "clock back", "clock ahead")
"""Whatever a program does, it comes to its end."""


class Fault(NamedTuple):
    """kind: one of ``KINDS``; at: number of the step that it hits, from 1."""

    kind: str
    at: int


def why_not() -> str:
    """Why this machine cannot have faults injected; "" where it can."""
    if not sys.platform.startswith("linux"):
        return "faults are injected on Linux only"
    return "" if shutil.which("cc") else "no C compiler (cc) to build the fault injector with"


def build() -> Path:
    """The library, compiled where that was not done yet."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()) / f"tamis-faults-{os.getuid()}-{digest}.so"
    if not path.exists():
        scratch = path.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", scratch, SOURCE, "-ldl"], check=True)
        scratch.rename(path)
    return path


def environment() -> dict[str, str]:
    """Of a Python process that can inject faults into itself and into what it forks."""
    library = str(build())
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **one, "LD_PRELOAD": library, LOADED: library}


class Injector:
    """The library in this process; it has to be there from its start (``environment``)."""

    def __init__(self) -> None:
        if LOADED not in os.environ:
            raise RuntimeError(
                "the fault injector is not loaded; start this program through tests.faults.campaign"
            )
        self._library = ctypes.CDLL(os.environ[LOADED])
        self._library.faults_where.restype = ctypes.c_char_p
        self._library.faults_count.restype = ctypes.c_long
        if self._library.faults_setup() != 0:
            raise RuntimeError("no memory for the fault injector")

    def arm(self, folder: Path, fault: Fault | None) -> None:
        """From now on count the steps below ``folder``; ``fault`` is to happen, if there is one."""
        kind, number = KINDS[fault.kind] if fault else (COUNT, 0)
        at = fault.at if fault else 0
        self._library.faults_arm(os.fsencode(folder), kind, ctypes.c_long(at), number)

    def disarm(self) -> None:
        """Stop counting, in all processes."""
        self._library.faults_disarm()

    @property
    def steps(self) -> int:
        """Counted since it was armed."""
        return int(self._library.faults_count())

    @property
    def where(self) -> str:
        """The step that was hit: call and path; "" where none was."""
        return os.fsdecode(self._library.faults_where()) if self._library.faults_fired() else ""
