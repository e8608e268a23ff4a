"""What a task of a Slurm array does on its node: trials, rows for the store, or a command.

A task is a plain list of trials in a file of its array's folder. It skips what is done, so that it may be stopped at
any moment and begun again: by Slurm (preemption, a node that fails), by submitit (its time is up), or in another array.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.records.record import RECORD_FILE
from tamis.study.crew import fail, fill, run_all
from tamis.study.slurm_settings import Resources
from tamis.study.trials import Trial
from tamis.study.worker import RUNNING_FOLDER

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

HIDDEN = ".slurm"
"""Below a folder of trials: a folder for each array that may be in the queue, logs, and how often trials were cut."""
JOB_FILE, CUTS, LOGS = "job", "cuts", "logs"
FAILURE = "the command ended with status"
"""How a log tells that a command ended with an error of its own."""
CONFIRMED_S = 180
"""Seconds in which a task must find its job's number: network file systems show new files late."""


@dataclass(frozen=True)
class Share:
    """The trials of one task; submitit keeps it for the next start of the task, when its time is up.

    place: folder of the array; number: of the task. rows: make rows for the store instead.
    """

    place: str
    number: int
    rows: bool = False

    def __call__(self) -> None:
        """Run what is not done."""
        place = Path(self.place)
        _wait_for_the_number(place)
        signal.signal(signal.SIGTERM, _leave)
        if self.rows:
            task = json.loads((place / f"{self.number}.json").read_text())
            fill([_with_cores(config, task["cores"]) for config in task["configs"]])
        else:
            run_share(place.parents[1], read_task(place / f"{self.number}.json"))

    def checkpoint(self) -> DelayedSubmission:
        """The same again: what is done is in the trials' folders."""
        from submitit.helpers import DelayedSubmission

        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # Slurm's way to requeue; this is no preemption any more
        return DelayedSubmission(self)


@dataclass(frozen=True)
class Command:
    """A command, run from its start whenever the task begins.

    parent: names a variable with this process' number. place: folder of the array.
    """

    arguments: tuple[str, ...]
    parent: str
    place: str

    def __call__(self) -> None:
        """Run it; a status other than 0 is an error."""
        _wait_for_the_number(Path(self.place))
        done = subprocess.run(self.arguments, env={**os.environ, self.parent: str(os.getpid())}, check=False)
        if done.returncode < 0:  # killed, for memory perhaps: another takes its place
            raise TamisError(f"the command was ended by signal {-done.returncode}")
        if done.returncode:
            raise TamisError(f"{FAILURE} {done.returncode}; its message is above")

    def checkpoint(self) -> DelayedSubmission:
        """The same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class Task:
    """A task's file.

    attempts: how often a trial may be begun whose task is killed.
    """

    trials: Sequence[Trial]
    resources: Resources
    attempts: int


def write_task(path: Path, task: Task) -> None:
    """Leave a task's file for its node."""
    write_atomically(path, json.dumps(asdict(task)).encode())


def read_task(path: Path) -> Task:
    """What ``write_task`` wrote."""
    found = json.loads(path.read_text())
    trials = [Trial(**{**trial, "overrides": tuple(trial["overrides"])}) for trial in found["trials"]]
    return Task(trials, Resources(**found["resources"]), found["attempts"])


def run_share(folder: Path, task: Task) -> None:
    """Run the trials of a task that are not done, as many at a time as it has cores.

    One that is found begun was cut with this task's earlier start. When Slurm ends the task to give its place to
    another, what was begun is put away and does not count as an attempt.
    """
    left = left_of(folder, task.trials)
    why = f"its Slurm job was killed, or reached its limit of {task.resources.timeout_min} min"
    settle_cuts(folder, left, task.attempts, why)
    left = [alone(trial) for trial in left_of(folder, left)]
    try:
        for _ in run_all(left, folder, task.resources.cpus_per_task):
            pass
    except Preempted:
        for trial in left:
            put_away(folder, trial)
        sys.exit(f"ended by signal {signal.SIGTERM.value}; what was begun is begun again")


def left_of(folder: Path, trials: Sequence[Trial]) -> list[Trial]:
    """The trials without a record."""
    return [trial for trial in trials if not (folder / trial.name / RECORD_FILE).exists()]


def alone(trial: Trial) -> Trial:
    """The trial with one core for what it finds missing in the store: its neighbours have the others."""
    return replace(trial, config=_with_cores(trial.config, 1))


def _with_cores(config: Mapping[str, Any], n: int) -> dict[str, Any]:
    return {**config, "store": {**config["store"], "n_jobs": n}}


def settle_cuts(folder: Path, trials: Sequence[Trial], attempts: int, why: str) -> int:
    """Put away what a task that has ended left in the middle; returns of how many trials.

    A trial that was cut ``attempts`` times is recorded as failed, with what it had measured.
    """
    n = 0
    for trial in left_of(folder, trials):
        if not (places := _places(folder, trial)):
            continue
        n += 1
        path = folder / HIDDEN / CUTS / trial.name
        count = 1 + (int(path.read_text()) if path.exists() else 0)
        if count < attempts:
            write_atomically(path, str(count).encode())
            put_away(folder, trial)
        else:
            times = f"{count} times" if count > 1 else "once"
            fail(trial, folder, places[-1], f"{why}; it was begun {times}, as hydra.launcher.attempts allows")
            path.unlink(missing_ok=True)
            put_away(folder, trial)
    return n


def put_away(folder: Path, trial: Trial) -> None:
    """Remove what was begun of a trial."""
    for place in _places(folder, trial):
        shutil.rmtree(place, ignore_errors=True)


def _places(folder: Path, trial: Trial) -> list[Path]:
    return [
        place
        for place in (folder / RUNNING_FOLDER).glob(f"{trial.name}.*")
        if place.stem == trial.name and place.is_dir()
    ]


class Preempted(BaseException):  # no error: like KeyboardInterrupt, nothing on the way may swallow it
    """Slurm wants the node back."""


def _leave(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise Preempted


def _wait_for_the_number(place: Path) -> None:
    """Go on when the array's folder says that this job belongs to it.

    It does not where whoever handed the job in was killed before writing the number down, and handed in another one.
    """
    own = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "")
    ends = time.monotonic() + CONFIRMED_S
    while True:
        try:
            if (place / JOB_FILE).read_text() == own:
                return
        except FileNotFoundError:
            pass
        if time.monotonic() > ends:
            raise TamisError(
                f"{place} does not know job {own}: whoever handed it in was killed; nothing is run"
            )
        time.sleep(0.2)
