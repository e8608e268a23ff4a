"""The workers of a search as an array: each task is the same command, on the same study."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.exceptions import TamisError
from tamis.study import slurm_queue as queue
from tamis.study.slurm import NOT_TO_BLAME, SURE
from tamis.study.slurm_queue import TaskState
from tamis.study.slurm_settings import Slurm
from tamis.study.slurm_task import FAILURE, HIDDEN, LOGS, Command

log = logging.getLogger(__name__)
GONE = TaskState(queue.GONE)
MAX_DEATHS = 20
"""Workers that may die before the command gives up; a trial that kills its worker fails long before."""


def run_workers(
    slurm: Slurm,
    command: Sequence[str],
    n: int,
    folder: Path,
    config: Mapping[str, Any],
    is_full: Callable[[], bool],
    reap: Callable[[], int],
    parent: str,
) -> None:
    """Run ``command`` in ``n`` tasks until all have ended; those that die are replaced while the study is not full.

    Parameters
    ----------
    config : the choices, by which resources are found. is_full, reap : of the study; a dead worker's trial is given to
        another. parent : the variable that tells a worker who started it.

    Raises
    ------
    TamisError : Slurm refuses; workers end with an error of theirs, or die again and again; jobs were cancelled.
    """
    logs, resources = folder / HIDDEN / LOGS, slurm.of(config)
    missing, deaths = n, 0
    jobs: dict[str, int] = {}
    ended: dict[str, int] = {}
    try:
        while missing or any(looks < SURE for looks in ended.values()):
            if missing:
                job = queue.submit(
                    slurm,
                    [Command(tuple(command), parent)] * missing,
                    resources,
                    logs,
                    f"tamis-{folder.name}",
                )
                jobs[job] = missing
                ended |= dict.fromkeys(_tasks(job, missing), 0)
                log.info("job %s: %d workers", job, missing)
                missing = 0
            time.sleep(slurm.poll_s)
            look = queue.states(jobs)
            open_tasks = [task for task, looks in ended.items() if looks < SURE]
            if (
                look
                and is_full()
                and all(look.get(one, GONE).state in ("PENDING", queue.GONE) for one in open_tasks)
            ):
                queue.end(jobs)  # there is nothing left for those that have not begun
                return
            for task in open_tasks if look is not None else ():
                state = (look or {}).get(task, GONE).state
                ended[task] = ended[task] + 1 if state in queue.ENDED or state == queue.GONE else 0
                if ended[task] < SURE or state in ("COMPLETED", queue.GONE):
                    continue
                reap()
                if state == "CANCELLED":
                    raise TamisError(f"worker {task} was cancelled; the same command goes on")
                if state == "FAILED" and FAILURE in (words := queue.last_words(logs, task, 12)):
                    raise TamisError(f"worker {task} ended with an error; {words}")
                deaths += state not in NOT_TO_BLAME
                log.warning("worker %s ended as %s", task, state)
                if deaths > MAX_DEATHS:
                    raise TamisError(f"{deaths} workers died; the last, {task}, as {state}")
                missing += not is_full()
    except BaseException:  # their trials are given to others: nobody is to go on with them
        queue.end(jobs)
        raise


def _tasks(job: str, n: int) -> list[str]:
    return [job] if n == 1 else [f"{job}_{i}" for i in range(n)]
