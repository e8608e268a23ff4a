"""Trials on a cluster: arrays of tasks, handed in, watched, and made up for where tasks were lost.

Folders are the truth here, too. A task runs a list of trials and skips those that have a record; so whatever becomes
of a task, its trials that have none are handed in again, until all have one. Whoever watches may be killed: the next
start finds the arrays of this folder that are in the queue, and watches them.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.study import slurm_queue as queue
from tamis.study.crew import kinds_of
from tamis.study.slurm_queue import TaskState
from tamis.study.slurm_settings import Resources, Slurm
from tamis.study.slurm_task import (
    HIDDEN,
    JOB_FILE,
    LOGS,
    Share,
    Task,
    left_of,
    put_away,
    read_task,
    settle_cuts,
    write_task,
)
from tamis.study.trials import Trial

log = logging.getLogger(__name__)
NOT_TO_BLAME = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")
"""States of tasks whose trials had no part in the end."""
SURE = 2
"""Looks at the queue after which a task has ended for good: it may be on its way back into the queue, and network file
systems show its last record late."""


@dataclass(eq=False)
class Array:
    """An array of tasks in the queue.

    place: its folder; job: Slurm's number; tasks: number -> what it runs; ended: number -> looks since it has ended.
    """

    place: Path
    job: str
    tasks: dict[int, Task]
    n_tasks: int
    ended: dict[int, int] = field(default_factory=dict)

    def id_of(self, number: int) -> str:
        """Slurm's name of a task."""
        return self.job if self.n_tasks == 1 else f"{self.job}_{number}"


def run_all(trials: Sequence[Trial], folder: Path, slurm: Slurm) -> Iterator[Trial]:
    """Run ``trials`` on the cluster; yields each that has ended, its record in its folder.

    Raises
    ------
    TamisError : Slurm refuses the tasks; they end before they begin a trial; jobs were cancelled.
    """
    watch = Watch(folder.absolute(), slurm)
    arrays = watch.found()
    known = _trials_of(arrays)
    waiting = [trial for trial in left_of(watch.folder, trials) if trial.name not in known]
    if waiting and slurm.of_rows is not None:
        watch.make_rows(waiting, slurm.of_rows)
    open_trials = {trial.name: trial for trial in trials}
    with watch.told_when_interrupted(arrays):
        while True:
            # before the loop may end: the watch itself writes records, and one of these may be the last
            for trial in [one for one in open_trials.values() if not left_of(watch.folder, [one])]:
                yield open_trials.pop(trial.name)
            if not waiting and not arrays:
                break
            arrays += watch.hand_in(waiting)
            waiting = []
            time.sleep(slurm.poll_s)
            look = watch.look(arrays)
            for array in list(arrays) if look is not None else ():
                waiting += watch.settle(array, look or {})
                if not array.tasks:
                    arrays.remove(array)
    if watch.problems:
        raise TamisError("; ".join(dict.fromkeys(watch.problems)))


def in_queue(folder: Path) -> list[str]:
    """Numbers of the jobs of a folder's trials that are in the queue.

    Raises
    ------
    TamisError : there are jobs, and no Slurm here that answers.
    """
    jobs = {str(path.parent): path.read_text() for path in (folder / HIDDEN).glob(f"*/{JOB_FILE}")}
    told = f"jobs {' '.join(jobs.values())} may run trials of {folder}"
    if jobs and not queue.is_here():
        raise TamisError(
            f"{told}, and there is no squeue on the PATH to ask; run this where Slurm is, or, if they are no more, "
            f"remove {' '.join(jobs)}"
        )
    if (known := queue.states(jobs.values())) is None:
        raise TamisError(f"Slurm does not answer, and {told}; try again later")
    return sorted({task.partition("_")[0] for task, one in known.items() if not one.has_ended})


class Watch:
    """What is handed in for the trials of ``folder``, and what becomes of it."""

    def __init__(self, folder: Path, slurm: Slurm) -> None:
        self.folder, self.slurm = folder, slurm
        self.problems: list[str] = []
        self._told: set[str] = set()
        self._say = Console(stderr=True, highlight=False, soft_wrap=True).print

    @property
    def logs(self) -> Path:
        """Folder of what tasks print."""
        return self.folder / HIDDEN / LOGS

    def found(self) -> list[Array]:
        """The arrays of an earlier start with their tasks that are in the queue; what is left of others is removed."""
        arrays: list[Array] = []
        ended: list[tuple[Task, str]] = []
        for place in sorted((self.folder / HIDDEN).glob("[0-9]*")):
            job = (place / JOB_FILE).read_text() if (place / JOB_FILE).exists() else ""
            known = queue.states([job]) if job else {}
            if known is None:
                raise TamisError(
                    f"Slurm does not answer, and job {job} may run trials of {self.folder}; try again later"
                )
            if (place / "rows").exists():  # made again, with what it has done in the store
                queue.end({job for one in known.values() if not one.has_ended})
                shutil.rmtree(place, ignore_errors=True)
                continue
            tasks = {int(path.stem): read_task(path) for path in sorted(place.glob("*.json"))}
            arrays.append(array := Array(place, job, tasks, len(tasks)))
            for number in list(tasks):
                state = known.get(array.id_of(number), TaskState(queue.GONE))
                if state.has_ended:
                    ended.append((tasks.pop(number), state.state))
        self._put_in_order(ended, arrays)
        for array in [array for array in arrays if not array.tasks]:
            shutil.rmtree(array.place, ignore_errors=True)
            arrays.remove(array)
        if arrays:
            log.warning("jobs %s are in the queue from an earlier start; waiting for them", _listed(arrays))
        return arrays

    def _put_in_order(self, ended: Sequence[tuple[Task, str]], arrays: Sequence[Array]) -> None:
        """See to what tasks that ended while nobody watched, each with its state, left in the middle."""
        elsewhere = _trials_of(arrays)  # handed in again since, and perhaps at work
        for task, state in ended:
            trials = [trial for trial in task.trials if trial.name not in elsewhere]
            if state == "CANCELLED" or state in NOT_TO_BLAME:
                for trial in left_of(self.folder, trials):
                    put_away(self.folder, trial)
            else:
                settle_cuts(self.folder, trials, task.attempts, "its Slurm job is gone")

    def make_rows(self, trials: Sequence[Trial], resources: Resources) -> None:
        """The first stage: rows and values for the store, a task a data set; what fails there is told by the trials."""
        sets: dict[str, list[Mapping[str, Any]]] = {}
        for config in kinds_of(trials):
            sets.setdefault(json.dumps(config["dataset"], sort_keys=True), []).append(config)
        place = self.new_place()
        (place / "rows").touch()
        for number, configs in enumerate(sets.values()):
            text = json.dumps({"configs": configs, "cores": resources.cpus_per_task})
            write_atomically(place / f"{number}.json", text.encode())
        tasks = [Share(str(place), number, rows=True) for number in range(len(sets))]
        array = self.submit(place, tasks, resources, dict.fromkeys(range(len(sets))))
        self._say(f"job {array.job} makes the rows of {len(sets)} data sets first")
        with self.told_when_interrupted([array]):
            left = set(array.tasks)
            while left:
                time.sleep(self.slurm.poll_s)
                look = self.look([array])
                for number in list(left) if look is not None else ():
                    state = (look or {}).get(array.id_of(number), TaskState(queue.GONE))
                    if state.has_ended:
                        left.remove(number)
                        if state.state not in ("COMPLETED", queue.GONE):
                            log.warning(
                                "task %s, which makes rows, ended as %s; trials make what is missing; %s",
                                array.id_of(number),
                                state.state,
                                queue.last_words(self.logs, array.id_of(number)),
                            )
        shutil.rmtree(place, ignore_errors=True)

    def hand_in(self, trials: Sequence[Trial]) -> list[Array]:
        """An array for all trials that get the same, of tasks of some each."""
        kinds: dict[Resources, list[Trial]] = {}
        for trial in trials:
            kinds.setdefault(self.slurm.of(trial.config), []).append(trial)
        arrays: list[Array] = []
        size = self.slurm.trials_per_task
        try:
            for resources, members in kinds.items():
                shares = [members[i : i + size] for i in range(0, len(members), size)]
                for i in range(0, len(shares), queue.MAX_ARRAY):
                    arrays.append(self._hand_in(shares[i : i + queue.MAX_ARRAY], resources))
        except TamisError:
            queue.end(array.job for array in arrays)
            for array in arrays:
                shutil.rmtree(array.place, ignore_errors=True)
            raise
        return arrays

    def _hand_in(self, shares: Sequence[Sequence[Trial]], resources: Resources) -> Array:
        place = self.new_place()
        tasks = {n: Task(share, resources, self.slurm.attempts) for n, share in enumerate(shares)}
        for number, task in tasks.items():
            write_task(place / f"{number}.json", task)
        array = self.submit(place, [Share(str(place), number) for number in tasks], resources, tasks)
        n = sum(len(share) for share in shares)
        self._say(f"job {array.job}: {n} trials in {len(tasks)} tasks of {resources}")
        return array

    def submit(
        self, place: Path, work: Sequence[Callable[[], None]], resources: Resources, tasks: dict[int, Any]
    ) -> Array:
        """Hand in, and write down the number: tasks that do not find it there do nothing."""
        try:
            job = queue.submit(self.slurm, work, resources, self.logs, f"tamis-{self.folder.name}")
        except TamisError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        write_atomically(place / JOB_FILE, job.encode())
        return Array(place, job, tasks, len(tasks))

    def new_place(self) -> Path:
        """A folder for an array."""
        place = self.folder / HIDDEN / f"{time.time_ns()}"
        place.mkdir(parents=True)
        return place

    def look(self, arrays: Sequence[Array]) -> dict[str, TaskState] | None:
        """How all tasks are; None where Slurm does not answer, which is told once."""
        found = queue.states({array.job for array in arrays})
        if found is None:
            self._tell("Slurm does not answer; its jobs go on, and are asked for again")
        for task, one in (found or {}).items():
            reason = one.reason.strip("()")
            if one.state == "PENDING" and reason not in queue.USUAL:
                self._tell(f"job {task.partition('_')[0]} waits: {reason} (see `squeue --me`)")
        return found

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.warning(message)

    def settle(self, array: Array, look: Mapping[str, TaskState]) -> list[Trial]:
        """See to tasks that have ended; returns their trials that have to be handed in again."""
        again: list[Trial] = []
        for number, task in list(array.tasks.items()):
            state = look.get(array.id_of(number), TaskState(queue.GONE))
            array.ended[number] = array.ended.get(number, 0) + 1 if state.has_ended else 0
            left = left_of(self.folder, task.trials)
            if array.ended[number] and not left:
                del array.tasks[number]
            elif array.ended[number] >= SURE:
                del array.tasks[number]
                again += self._after(array.id_of(number), task, left, state.state)
        if not array.tasks:
            shutil.rmtree(array.place, ignore_errors=True)
        return again

    def _after(self, task_id: str, task: Task, left: Sequence[Trial], state: str) -> list[Trial]:
        """Trials to hand in again of a task that ended before its last."""
        if state == "CANCELLED":
            for trial in left:
                put_away(self.folder, trial)
            self.problems.append(
                f"job {task_id.partition('_')[0]} was cancelled; the same command runs what it left"
            )
            return []
        if state in NOT_TO_BLAME:
            for trial in left:
                put_away(self.folder, trial)
            return list(left)
        n_cut = settle_cuts(self.folder, left, task.attempts, _why(state, task.resources))
        if n_cut == 0 and len(left) == len(task.trials):
            words = queue.last_words(self.logs, task_id)
            self.problems.append(f"Slurm's task {task_id} ended as {state} before it began a trial; {words}")
            return []
        again = left_of(self.folder, left)
        log.warning("task %s ended as %s; %d of its trials are handed in again", task_id, state, len(again))
        return again

    @contextmanager
    def told_when_interrupted(self, arrays: list[Array]) -> Iterator[None]:
        """Ctrl-C ends the watch, not the jobs."""
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            if jobs := _listed(arrays):
                self._say(
                    f"jobs {jobs} stay in the queue; scancel {jobs} ends them; the same command, with the folder"
                )
                self._say(f"{self.folder}, waits for them")
            raise


def _trials_of(arrays: Sequence[Array]) -> set[str]:
    """Names of the trials that these arrays run."""
    return {trial.name for array in arrays for task in array.tasks.values() for trial in task.trials}


def _listed(arrays: Sequence[Array]) -> str:
    return " ".join(array.job for array in arrays)


def _why(state: str, resources: Resources) -> str:
    """Of a task's end: the reason of the trial that it cut."""
    return {
        "OUT_OF_MEMORY": f"its Slurm job ran out of memory ({resources.mem_gb:g} GB); raise hydra.launcher.mem_gb",
        "TIMEOUT": f"its Slurm job ran out of time ({resources.timeout_min} min); raise hydra.launcher.timeout_min",
        "DEADLINE": "its Slurm job reached its deadline",
    }.get(
        state,
        f"its Slurm job was killed (state {state}); was the memory ({resources.mem_gb:g} GB) too small?",
    )
