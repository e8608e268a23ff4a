"""Several processes for one study: each is the same command again, which works on the same storage."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from hydra_plugins.tamis_study_sweeper._errors import StudyError

log = logging.getLogger(__name__)
PARENT = "STUDY_SWEEPER_PARENT"
"""Environment variable of a worker: the number of the process that started it."""
POLL_S = 0.2
MAX_DEATHS = 100
"""Workers that may die before the command gives up; a trial that kills its worker fails long before."""


def is_worker() -> bool:
    """Whether this process was started by another that works on the study."""
    return PARENT in os.environ


def parent_lives() -> bool:
    """Whether the process that started this worker is still there; True where there is none."""
    return os.environ.get(PARENT, str(os.getppid())) == str(os.getppid())


def run_workers(
    n: int, overrides: Sequence[str], is_full: Callable[[], bool], reap: Callable[[], int]
) -> None:
    """Run this command ``n`` times with more overrides, until all have ended; those that die are replaced.

    Raises
    ------
    StudyError : a worker ended with an error, which it has told itself; the others are ended then.
    """
    command = [sys.executable, *sys.orig_argv[1:], *overrides]
    environment = {**os.environ, PARENT: str(os.getpid())}
    workers = [subprocess.Popen(command, env=environment) for _ in range(n)]
    deaths = 0
    try:
        while workers:
            time.sleep(POLL_S)
            for worker in [worker for worker in workers if worker.poll() is not None]:
                workers.remove(worker)
                if worker.returncode > 0:
                    raise StudyError(f"a worker ended with status {worker.returncode}; its message is above")
                if worker.returncode < 0:
                    deaths += 1
                    log.warning("a worker was ended by signal %s", -worker.returncode)
                    reap()
                    if deaths > MAX_DEATHS:
                        raise StudyError(f"{deaths} workers died; the last by signal {-worker.returncode}")
                    if not is_full():
                        workers.append(subprocess.Popen(command, env=environment))
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
