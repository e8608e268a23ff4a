"""Worker processes: who does what, and what happens when one of them dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.threads import asked, environment
from tamis.records.record import FAILED, RECORD_FILE, TrialRecord, read_record
from tamis.records.versions import versions
from tamis.study.trials import Trial
from tamis.study.worker import OLD, RUNNING_FOLDER, fill_store, put_in_place, work

AHEAD = 2
"""Batches that a worker has at a time: it need not wait while the study writes to MLflow."""
BATCH = 8
"""Most trials in a batch."""
OWN_SIGNAL_S = 1.0
"""Seconds in which a signal that ended a worker reaches this process, too, where it was meant for both."""


@dataclass(eq=False)
class Worker:
    """A process, the pipe to it, and the batches that it has and has not finished."""

    process: BaseProcess
    pipe: Connection
    batches: deque[list[Trial]] = field(default_factory=deque)

    def give(self, batch: list[Trial]) -> bool:
        """Hand over a batch; False where the process has ended, which its pipe tells next."""
        try:
            self.pipe.send(batch)
        except ConnectionError:
            return False
        self.batches.append(list(batch))
        return True

    def ended(self) -> Trial | None:
        """The trial that has just ended; None where the process has."""
        try:
            name = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        trial = self.batches[0].pop(0)
        if trial.name != name:
            raise TamisError(f"a worker reports {name}, and {trial.name} was expected")
        if not self.batches[0]:
            self.batches.popleft()
        return trial


def run_all(trials: Sequence[Trial], folder: Path, n_workers: int) -> Iterator[Trial]:
    """Run ``trials`` in ``n_workers`` processes; yields each that has ended, its record in its folder.

    Raises
    ------
    TamisError : workers that die before they begin a trial.
    """
    waiting, crew = deque(batches_of(trials)), []
    try:
        crew = [start(folder) for _ in range(min(n_workers, len(waiting)))]
        while waiting or any(worker.batches for worker in crew):
            for worker in crew:
                while waiting and len(worker.batches) < AHEAD and worker.give(waiting[0]):
                    waiting.popleft()
            for pipe in wait([worker.pipe for worker in crew]):
                worker = next(worker for worker in crew if worker.pipe is pipe)
                trial = worker.ended()
                if trial is None:
                    trial = bury(worker, folder)
                    waiting.extendleft(reversed(left_of(worker)))
                    crew.remove(worker)
                    if waiting:
                        crew.append(start(folder))
                if trial is not None:
                    yield trial
    finally:
        for worker in crew:
            worker.pipe.close()
            if worker.batches:  # an error or Ctrl-C; an idle one ends by itself
                worker.process.terminate()
        for worker in crew:
            worker.process.join()


def start(folder: Path) -> Worker:
    """A new process that waits for trials."""
    ours, theirs = multiprocessing.Pipe()
    process = _spawn(work, theirs, folder)
    theirs.close()
    return Worker(process, ours)


def kinds_of(trials: Sequence[Trial]) -> list[Mapping[str, Any]]:
    """One configuration of each kind of trial that needs rows and values of its own."""
    kinds: dict[str, Mapping[str, Any]] = {}
    for trial in trials:
        parts = {name: trial.config[name] for name in ("dataset", "model", "descriptor", "store")}
        kinds.setdefault(json.dumps(parts, sort_keys=True), trial.config)
    return list(kinds.values())


def fill(configs: Sequence[Mapping[str, Any]]) -> None:
    """Fill the store in a process of its own: workers would make the same rows at the same time."""
    if configs:
        _spawn(fill_store, configs).join()  # what cannot be made is told by its trials


def _spawn(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process whose libraries compute on as many threads as a trial has."""
    threads = environment(asked())
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(threads)  # read by libraries when a process loads them
    try:
        process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
        process.start()
        return process
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def bury(worker: Worker, folder: Path) -> Trial | None:
    """Make a failure of the trial during which a worker died; returns the trial, None where it had nothing to do."""
    worker.process.join()
    how = worker.process.exitcode or 0
    if how in (
        -signal.SIGTERM,
        -signal.SIGUSR2,
    ):  # sent to all processes of a Slurm job: this one's comes now
        time.sleep(OWN_SIGNAL_S)
    if not worker.batches:
        return None
    trial = worker.batches[0].pop(0)
    place = folder / RUNNING_FOLDER / f"{trial.name}.{worker.process.pid}"
    if not place.is_dir():
        if how < 0 and (folder / trial.name / RECORD_FILE).exists():
            return trial  # killed after it had put its trial in place and before it could say so
        raise TamisError(
            f"a worker process ended with exit status {how} before it began a trial; see its message above"
        )
    memory = " (was the memory too small?)" if how == -signal.SIGKILL else ""
    fail(trial, folder, place, f"its process ended with {_how_told(how)}{memory}")
    return trial


def _how_told(exitcode: int) -> str:
    return f"signal {-exitcode}" if exitcode < 0 else f"exit status {exitcode}"


def fail(trial: Trial, folder: Path, place: Path, reason: str) -> None:
    """Make a failure of a trial that was cut in ``place``."""
    record = TrialRecord(config=dict(trial.config), overrides=list(trial.overrides), versions=versions())
    if (place / RECORD_FILE).exists():  # a stage after the errors: what was measured is kept
        record = read_record(place)
    record.status, record.reason = FAILED, reason
    record.save(place)
    put_in_place(place, folder / trial.name)


def left_of(worker: Worker) -> list[list[Trial]]:
    """The batches that a dead worker had not finished."""
    return [batch for batch in worker.batches if batch]


def batches_of(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Neighbours that share their data and latent space, at most ``BATCH`` at a time."""
    batches = []
    for _, group in groupby(trials, key=lambda trial: trial.shares):
        members = list(group)
        batches += [members[i : i + BATCH] for i in range(0, len(members), BATCH)]
    return batches


def clear_away(folder: Path) -> None:
    """Remove what killed workers left; to be called when no other study runs in ``folder``."""
    for place in (folder / RUNNING_FOLDER).glob("*"):
        name, _, process = place.name.removesuffix(OLD).rpartition(".")
        if _alive(process):  # a worker that outlived its study still writes there
            continue
        if place.name.endswith(OLD) and not (folder / name).exists():
            place.rename(folder / name)  # killed before the trial that was run again had taken its place
        else:
            shutil.rmtree(place, ignore_errors=True)
    for path in folder.glob(".*.*.*"):  # as write_atomically names what it has not written to the end
        process = path.name.rsplit(".", 2)[1]
        if process.isdigit() and not _alive(process):
            path.unlink(missing_ok=True)


def _alive(process: str) -> bool:
    return process.isdigit() and Path(f"/proc/{process}").exists()
