"""Running the jobs of a grid: rows first, then trials as workers become free."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from rich.console import Console

from tamis.core.messages import in_one_line, plain_console
from tamis.core.names import quoted
from tamis.core.progress import announced_if_slow, progress
from tamis.records.record import FAILED, TrialRecord
from tamis.sweeps.ending import MOST_REASONS
from tamis.sweeps.folder import SweepFolder
from tamis.sweeps.job import Job
from tamis.sweeps.running import leave_failure, make_rows, run_job
from tamis.sweeps.waiting import Rows, Waiting
from tamis.sweeps.workers import InThisProcess, WorkerDiedError, Workers, workers_of

AHEAD = 2
"""Jobs under way for each worker: while one runs, the next is there."""
REPORT_EVERY_S = 60.0


def run_jobs(
    jobs: Sequence[Job], folder: SweepFolder, launcher: Launcher, publish: Callable[[str], None]
) -> None:
    """Run ``jobs`` wherever the launcher runs them; each leaves its folder, and its name is given to ``publish``."""
    if jobs:
        with workers_of(launcher) as workers:
            run_jobs_on(workers, jobs, folder, launcher, publish)


def run_jobs_on(
    workers: Workers | None,
    jobs: Sequence[Job],
    folder: SweepFolder,
    launcher: Launcher,
    publish: Callable[[str], None],
) -> None:
    """The same on workers that are there already; None: through the launcher itself."""
    printer = ProgressPrinter(len(jobs), plain_console())
    with progress("trials", len(jobs)) as advance:
        ended = (
            _through_hydra(jobs, folder, launcher)
            if workers is None
            else _as_they_end(jobs, folder.path, workers)
        )
        for job in ended:
            publish(job.name)
            printer.count(job, folder.record(job.name))
            advance(1)


def _as_they_end(jobs: Sequence[Job], folder: Path, workers: Workers) -> Iterator[Job]:
    """The jobs as they end; a few for each worker are under way, the others wait here.

    Rows of a model and values of a descriptor are made by one worker before the trials that need them begin: workers
    would make the same rows at the same time. Trials whose rows are there run meanwhile. Rows that killed each of their
    workers would kill those of their trials, too, which fail for it.
    """
    if isinstance(workers, InThisProcess):  # runs a job within ``submit``
        for job in jobs:
            workers.submit(run_job, job, folder).result()
            yield job
        return
    waiting, running = Waiting(jobs), dict[Future[Any], Job | Rows]()
    results: SimpleQueue[Future[Any]] = SimpleQueue()
    with ExitStack() as telling:
        telling.enter_context(announced_if_slow("making the rows that trials share", 5.0))
        while waiting or running:
            for what in waiting.next(AHEAD * workers.n - len(running)):
                future = workers.submit(*_call(what, folder))
                running[future] = what
                future.add_done_callback(results.put)
            future = results.get()
            what, error = running.pop(future), future.exception()
            if error is not None and not isinstance(error, WorkerDiedError):
                raise error
            ended = [what] if isinstance(what, Job) else waiting.made(what, error is None)
            for job in ended:
                if error is not None:
                    leave_failure(job, folder, str(error))
                yield job
            if not waiting.rows:
                telling.close()


def _call(what: Job | Rows, folder: Path) -> tuple[Any, ...]:
    """A function for a worker, and its arguments."""
    if isinstance(what, Rows):
        return make_rows, what.config, what.part, what.name, folder
    return run_job, what, folder


def _through_hydra(jobs: Sequence[Job], folder: SweepFolder, launcher: Launcher) -> Iterator[Job]:
    """The jobs after a launcher of Hydra's, such as joblib or submitit, has run them all."""
    place = f"hydra.sweep.dir={quoted(str(folder.path))}"
    lines = [[*job.overrides, place, f"hydra.sweep.subdir={job.name}"] for job in jobs]
    for job, returned in zip(jobs, launcher.launch(lines, initial_job_idx=0), strict=True):
        if folder.record(job.name) is None:
            failed = returned.status == JobStatus.FAILED
            leave_failure(job, folder.path, str(returned._return_value) if failed else "it left no record")
        yield job


class ProgressPrinter:
    """Says how a sweep goes: the first reasons of failures, and where there is no progress bar a line a minute."""

    def __init__(self, n: int, console: Console) -> None:
        self.n, self.console = n, console
        self.counts: Counter[str] = Counter()
        self.reasons: set[str] = set()
        self.printed = time.monotonic()
        self.first: float | None = None

    def count(self, job: Job, record: TrialRecord | None) -> None:
        """Count a trial that has ended."""
        status = FAILED if record is None else record.status
        self.counts[status] += 1
        if record is not None and status == FAILED and record.reason not in self.reasons:
            if len(self.reasons) < MOST_REASONS:
                self.console.print(f"{job.name} failed: {in_one_line(record.reason)}", markup=False)
            self.reasons.add(record.reason)
        now, done = time.monotonic(), self.counts.total()
        if self.first is None:  # the first trial waits for rows, which others share
            self.first = now
        elif now - self.printed > REPORT_EVERY_S and done < self.n:
            self.printed = now
            left = (self.n - done) * (now - self.first) / (done - 1) / 60
            said = (
                f"{done} of {self.n} trials, {self.counts[FAILED]} failed; about {math.ceil(left)} min left"
            )
            self.console.print(said)
