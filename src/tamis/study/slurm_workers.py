"""The workers of a search as an array: each task is the same command, on the same study."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.study import slurm_queue as queue
from tamis.study.slurm import NOT_TO_BLAME, SURE, Array, Watch
from tamis.study.slurm_queue import TaskState
from tamis.study.slurm_settings import Resources, Slurm
from tamis.study.slurm_task import FAILURE, Command, Task, write_task

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

    Tasks of an earlier start that are in the queue are among the ``n``. Ctrl-C leaves them there.

    Parameters
    ----------
    config : the choices, by which resources are found. is_full, reap : of the study; a dead worker's trial is given to
        another. parent : the variable that tells a worker who started it.

    Raises
    ------
    TamisError : Slurm refuses; workers end with an error of theirs, or die again and again; jobs were cancelled.
    """
    watch, resources = Watch(folder, slurm), slurm.of(config)
    arrays = watch.found()
    missing = 0 if is_full() else n - sum(len(array.tasks) for array in arrays)
    deaths = 0
    try:
        with watch.told_when_interrupted(arrays):
            while missing > 0 or arrays:
                if missing > 0:
                    arrays.append(_hand_in(watch, tuple(command), parent, missing, resources))
                missing = 0
                time.sleep(slurm.poll_s)
                if (look := watch.look(arrays)) is None:
                    continue
                if look and is_full() and not _has_begun(arrays, look):
                    break  # there is nothing left for those that wait
                for task, state in [one for array in arrays for one in _ended(array, look)]:
                    reap()
                    _check(watch, task, state)
                    deaths += state not in NOT_TO_BLAME
                    if deaths > MAX_DEATHS:
                        raise TamisError(f"{deaths} workers died; the last, {task}, as {state}")
                    missing += not is_full()
                _forget([array for array in arrays if not array.tasks])
                arrays[:] = [array for array in arrays if array.tasks]
    except KeyboardInterrupt:
        raise
    except BaseException:  # their trials are given to others: nobody is to go on with them
        _end(arrays)
        raise
    _end(arrays)


def _hand_in(watch: Watch, command: tuple[str, ...], parent: str, n: int, resources: Resources) -> Array:
    """``n`` more workers; their files are those of tasks without trials, which they get from the study."""
    place = watch.new_place()
    tasks = {number: Task((), resources, 1) for number in range(n)}
    for number, task in tasks.items():
        write_task(place / f"{number}.json", task)
    array = watch.submit(place, [Command(command, parent, str(place))] * n, resources, tasks)
    log.info("job %s: %d workers", array.job, n)
    return array


def _has_begun(arrays: Sequence[Array], look: Mapping[str, TaskState]) -> bool:
    """Whether any of the workers does more than wait in the queue."""
    states = [look.get(array.id_of(number), GONE).state for array in arrays for number in array.tasks]
    return any(state not in ("PENDING", queue.GONE) for state in states)


def _ended(array: Array, look: Mapping[str, TaskState]) -> Iterator[tuple[str, str]]:
    """Take the workers that have ended out of ``array``; id and state of those that did so before their end."""
    for number in list(array.tasks):
        one = look.get(task := array.id_of(number), GONE)
        array.ended[number] = array.ended.get(number, 0) + 1 if one.has_ended else 0
        if array.ended[number] >= SURE:
            del array.tasks[number]
            if one.state not in ("COMPLETED", queue.GONE):
                yield task, one.state


def _check(watch: Watch, task: str, state: str) -> None:
    """Raises TamisError for an end after which no other worker takes the place."""
    if state == "CANCELLED":
        raise TamisError(f"worker {task} was cancelled; the same command goes on")
    if state == "FAILED" and FAILURE in (words := queue.last_words(watch.logs, task, 12)):
        raise TamisError(f"worker {task} ended with an error; {words}")
    log.warning("worker %s ended as %s", task, state)


def _end(arrays: Sequence[Array]) -> None:
    queue.end(array.job for array in arrays)
    _forget(arrays)


def _forget(arrays: Sequence[Array]) -> None:
    for array in arrays:
        shutil.rmtree(array.place, ignore_errors=True)
