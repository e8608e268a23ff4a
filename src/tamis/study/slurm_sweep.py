"""A sweep on a cluster: what ``tamis -m`` does on one machine, with the trials in arrays of tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tamis.commands.run import leave_curve
from tamis.core.configuration import explain
from tamis.core.errors import TamisError
from tamis.core.locks import alone_in
from tamis.core.secrets import redacted
from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, TrialRecord, read_record
from tamis.records.versions import versions
from tamis.report.tables import print_trial
from tamis.study.publish import Publisher
from tamis.study.slurm import run_all
from tamis.study.slurm_settings import Slurm
from tamis.study.trials import Trial
from tamis.sweeps.composing import Composer
from tamis.tracking import tracker_of
from tamis.tracking.parents import Parent, read_parent

log = logging.getLogger(__name__)
BLOCK = "sweep"


def run_sweep(
    config: DictConfig, slurm: Slurm, jobs: Sequence[Sequence[str]], first: int
) -> list[float | None]:
    """Run a sweep's jobs, write MLflow as they end, and return their objectives; None of one that is not complete.

    Raises
    ------
    TamisError : the folder has trials of another sweep; see ``tamis.study.slurm.run_all``.
    """
    folder = Path(config.hydra.sweep.dir).absolute()
    trials = list(_trials(jobs, first, folder))
    if read_parent(folder) is None:
        Parent(f"{config.hydra.runtime.choices.get('experiment') or 'sweep'} {folder.name}").write(folder)
    with alone_in(folder):  # a second start of the same sweep waits, and finds everything done
        publisher = Publisher(tracker_of(config), folder)
        publisher.open()
        outcome = "KILLED"
        try:
            left = []
            for trial in trials:
                if not (folder / trial.name / RECORD_FILE).exists():
                    left.append(trial)
                elif trial.name not in publisher.written:
                    publisher.publish(trial.name)
            if len(left) < len(trials):
                log.warning("%d of %d trials have ended before", len(trials) - len(left), len(trials))
            for trial in run_all(left, folder, slurm):
                record = read_record(folder / trial.name)
                leave_curve(record, folder / trial.name)
                print_trial(record, folder / trial.name, alone=False)
                publisher.publish(trial.name)
            outcome = "FINISHED"
        finally:
            publisher.close(outcome)
    return [_objective(read_record(folder / f"{first + i}")) for i in range(len(jobs))]


def _trials(jobs: Sequence[Sequence[str]], first: int, folder: Path) -> Iterator[Trial]:
    """The jobs as trials, named by their numbers; of one that cannot be composed the failure is recorded here."""
    composer = Composer([])
    for i, job in enumerate(jobs):
        name = f"{first + i}"
        _check_same(folder / name, job)
        try:
            pairs = tuple((key, value) for key, _, value in (one.partition("=") for one in job))
            yield Trial(name, BLOCK, composer.config(pairs), tuple(redacted(list(job))))
        except (HydraException, OmegaConfBaseException, TamisError) as error:
            if not (folder / name / RECORD_FILE).exists():
                record = TrialRecord(config={}, overrides=list(job), versions=versions())
                record.status, record.reason = FAILED, explain(error)
                record.save(folder / name)
            yield Trial(name, BLOCK, {}, tuple(job))


def _check_same(folder: Path, job: Sequence[str]) -> None:
    if (folder / RECORD_FILE).exists() and (before := read_record(folder).overrides) != redacted(list(job)):
        raise TamisError(
            f"{folder} holds the trial of another sweep ({' '.join(before)}, and now {' '.join(job)}); repeat that "
            "command to go on with it, or choose another hydra.sweep.dir"
        )


def _objective(record: TrialRecord) -> float | None:
    named: Any = record.config.get("objective")
    name = str(named if isinstance(named, str) or not named else named[0])
    return record.metrics.get(name) if record.status == COMPLETE else None
