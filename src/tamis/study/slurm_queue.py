"""Slurm's commands: hand in arrays of tasks through submitit, and ask how they are."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.core.errors import MissingEngineError, TamisError
from tamis.study.slurm_settings import GROUP, Resources, Slurm

log = logging.getLogger(__name__)
MAX_ARRAY = 1000
"""Tasks in one array: the limit of a cluster that says nothing else is 1001."""
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
}
"""States of tasks that are out of the queue."""
GONE = "FORGOTTEN"
"""State of a task of which Slurm says nothing any more: it ended minutes ago."""
USUAL = {
    "None",
    "Priority",
    "Resources",
    "JobArrayTaskLimit",
    "BeginTime",
    "Dependency",
    "Cleaning",
    "Prolog",
}
"""Reasons for which a task waits that pass by themselves."""
COMMAND_S = 60.0
DEAF_UNTIL_READY = """sh -c 'trap "" USR2; exec "$@"' sh"""
"""In front of a task's command: Slurm may send its signal for time that runs out a minute early, and one that comes
while Python starts would end the task. Once it can go back to the queue, the task listens."""
HINTS = (
    ("partition", "choose {0}.partition, one of those that sinfo lists"),
    ("account", "choose {0}.account, one that `sacctmgr show associations user=$USER` lists"),
    ("qos", "choose {0}.qos"),
    ("memory", "ask for less with {0}.mem_gb, resources or rows"),
    ("node configuration", "no node has that: see {0}.cpus_per_task, mem_gb, resources and rows"),
    ("time limit", "ask for less with {0}.timeout_min"),
    ("submit limit", "hand in fewer tasks at a time, with a larger {0}.trials_per_task"),
    ("unable to contact", "is slurmctld running? try `sinfo`"),
)
"""What sbatch says, in part -> what to do."""


@dataclass(frozen=True)
class TaskState:
    """How a task is: Slurm's word, and why it waits, as far as Slurm says."""

    state: str
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """For good: it is not in the queue any more."""
        return self.state in ENDED or self.state == GONE


def submit(
    slurm: Slurm, tasks: Sequence[Callable[[], None]], resources: Resources, logs: Path, name: str
) -> str:
    """Hand in an array of tasks; returns the job's id, of which task i is ``<id>_<i>``.

    Parameters
    ----------
    tasks : objects of classes that a node can import. logs : folder of what submitit writes, seen by all nodes.

    Raises
    ------
    TamisError : there is no Slurm here, or it refuses, in its own words and with what to do.
    """
    if shutil.which("sbatch") is None:
        raise MissingEngineError(
            "hydra/launcher=slurm needs Slurm's sbatch, which is not on the PATH; log in to a node of the cluster that "
            "has it, or leave the launcher out to run on this machine"
        )
    try:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError as error:
        raise MissingEngineError(
            "hydra/launcher=slurm needs submitit; pip install 'tamis[cluster]'"
        ) from error
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)  # what tasks unpickle is the user's own
    python = f"{DEAF_UNTIL_READY} {shlex.quote(sys.executable)}"
    executor = SlurmExecutor(logs, max_num_timeout=slurm.max_num_timeout, python=python)
    executor.update_parameters(**_parameters(slurm, resources, name, len(tasks)))
    with _without_a_job():
        try:
            if len(tasks) == 1:  # submitit makes no array of one, and ids would differ
                return str(executor.submit(tasks[0]).job_id)
            with executor.batch():
                jobs = [executor.submit(task) for task in tasks]
            return str(jobs[0].job_id).partition("_")[0]
        except (FailedJobError, FailedSubmissionError) as error:
            raise TamisError(explained(str(error), resources)) from error


def _parameters(slurm: Slurm, resources: Resources, name: str, n: int) -> dict[str, Any]:
    """For submitit's executor; what is None is left to the cluster."""
    given = {
        "job_name": name,
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
        "time": resources.timeout_min,
        "cpus_per_task": resources.cpus_per_task,
        "mem": f"{max(1, round(resources.mem_gb * 1024))}M",
        "signal_delay_s": slurm.signal_delay_s,
        "array_parallelism": min(slurm.array_parallelism, n),
        "stderr_to_stdout": True,
        "setup": list(slurm.setup) or None,
        # since Slurm 22.05 a step does not get the cores of its job unless it asks for them
        "srun_args": ["--cpus-per-task", str(resources.cpus_per_task)],
        "additional_parameters": {"requeue": True, **slurm.additional_parameters},
    }
    return {key: value for key, value in given.items() if value is not None}


def explained(said: str, resources: Resources) -> str:
    """Slurm's refusal, with what was asked for and what to do."""
    lines = [line.partition("error: ")[2] or line for line in said.strip().splitlines() if line.strip()]
    words = "; ".join(lines) or "no reason given"
    hints = [hint.format(GROUP) for part, hint in HINTS if part in words.lower()]
    return f"Slurm refuses the job ({resources} a task): {words}" + (f"; {hints[0]}" if hints else "")


def states(jobs: Iterable[str]) -> dict[str, TaskState] | None:
    """State of every task of these jobs that Slurm knows, by ``<job>_<task>`` or ``<job>``; None: no answer."""
    found: dict[str, TaskState] = {}
    for job in jobs:  # one by one: for one that Slurm has forgotten it says nothing of the others
        command = ["squeue", "--states=all", "--noheader", "--array", "--format=%i|%T|%r", f"--jobs={job}"]
        done = _run(command)
        if done is None or (done.returncode and "invalid job id" not in done.stderr.lower()):
            return None
        for line in done.stdout.splitlines():
            task, state, reason = line.strip().split("|", 2)
            found[task] = TaskState(state, reason)
    return found


def is_here() -> bool:
    """Whether this machine can ask a Slurm."""
    return shutil.which("squeue") is not None


def end(jobs: Iterable[str]) -> None:
    """Take jobs out of the queue, running or not."""
    for job in jobs:
        _run(["scancel", "--quiet", job])


def last_words(logs: Path, task: str, n: int = 5) -> str:
    """The last lines of a task's log."""
    found = sorted(logs.glob(f"{task}_*_log.out"))
    if not found:
        return f"it wrote no log: does the node see {logs}?"
    lines = [line for line in found[-1].read_text(errors="replace").splitlines() if line.strip()]
    return f"the end of {found[-1]}:\n" + "\n".join(re.sub(r"\s+$", "", line) for line in lines[-n:])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s: %s", command[0], error)
        return None


@contextmanager
def _without_a_job() -> Iterator[None]:
    """Hide the job that this process is in, if it is in one: some of its variables contradict a new job's options."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("SLURM_") and k != "SLURM_CONF"}
    inside = "SLURM_JOB_ID" in kept
    for key in kept if inside else ():
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(kept)
