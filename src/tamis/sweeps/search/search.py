"""One command's work on a study: ask Optuna for a trial, run its jobs, report how they ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from optuna import Study, TrialPruned
from optuna.trial import FrozenTrial, Trial, TrialState

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.interrupts import interrupted
from tamis.core.messages import plain_console
from tamis.records.record import TrialRecord, read_record
from tamis.sweeps.ending import MOST_REASONS
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import Job
from tamis.sweeps.overrides import lines_of
from tamis.sweeps.running import leave_failure, run_job, set_aside
from tamis.sweeps.same_sets import SAME_AS
from tamis.sweeps.search.outcome import ERROR, Constraint, Outcome, outcome_of
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space
from tamis.sweeps.search.studies import (
    EXHAUSTED,
    FOLDER,
    SWEEP,
    counted,
    ended,
    enqueue_again,
    history_of,
    is_abandoned,
)
from tamis.sweeps.workers import WorkerDiedError, Workers

ENOUGH = 10
"""Ended trials before a rate of failures means anything."""
POLL_S = 0.2
"""How soon a thread that waits for a worker notices Ctrl-C."""


class FailedTrialError(TamisError):
    """A trial has no values; Optuna gets to know, and the search continues."""


@dataclass(frozen=True)
class Search:
    """A study and what its trials need.

    compose: the resolved configuration of a job, from its overrides. publish: gets the name of each job that has ended.
    objectives: names of metrics, one for each direction.
    """

    study: Study
    settings: SearchSettings
    space: Space
    folder: SweepFolder
    sweep: Sweep
    workers: Workers
    compose: Callable[[Sequence[str]], Mapping[str, object]]
    publish: Callable[[str], None]
    objectives: Sequence[str]
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    _errors: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        """Work until the study has its trials.

        Raises
        ------
        TamisError : too many trials failed, or none is complete in the end.
        """
        while (left := self._left()) > 0:
            before = len(ended(self.study))
            self.study.optimize(
                self._objective,
                n_trials=left,
                n_jobs=self.workers.n,
                catch=(FailedTrialError,),
                callbacks=[self._after],
            )
            if self._errors:
                raise self._errors[0]
            if len(ended(self.study)) < before + left and self._left() > 0:
                self.study.set_user_attr(EXHAUSTED, True)  # a grid stops when it is used up
        if not any(trial.state == TrialState.COMPLETE for trial in counted(self.study)):
            raise TamisError(f"no trial of study {self.study.study_name} is complete: {self.tally()}")

    @property
    def n_failed(self) -> int:
        """Trials that failed, and that no other trial repeats."""
        return sum(trial.state == TrialState.FAIL for trial in ended(self.study))

    def tally(self) -> str:
        """How many trials ended and how, and the reasons of failures, the most frequent first."""
        trials = ended(self.study)
        counts = Counter(trial.state.name.lower() for trial in trials)
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
        reasons = Counter(one.user_attrs.get(ERROR) for one in trials if one.state == TrialState.FAIL)
        causes = "".join(f"; {n} failed: {reason}" for reason, n in reasons.most_common(MOST_REASONS))
        return f"{len(trials)} of {self.settings.n_trials} trials have ended ({kinds}){causes}"

    def _left(self) -> int:
        """Trials that this command may still begin."""
        trials = counted(self.study)
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        room = self.settings.n_trials - (len(trials) - waiting)
        return min(waiting, room) if self.study.user_attrs.get(EXHAUSTED) else room

    def settle(self) -> None:
        """Report or requeue trials left running by commands that have ended.

        Records of trials that are run again are set aside: call it before they are published.
        """
        is_shared = self.settings.storage is not None
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if not is_abandoned(trial, self.sweep, is_shared):
                continue
            of = trial.user_attrs.get(SWEEP, {})
            place = self.folder if of.get("id") == self.sweep.id else SweepFolder(Path(of.get("folder", "/")))
            outcome = self._outcome([one for one in map(place.record, self._names(trial.number)) if one])
            if outcome is None:
                enqueue_again(self.study, trial, self.settings.retries)
                outcome = Outcome(TrialState.FAIL, reason="its command ended before it did")
            outcome.note_on(Trial(self.study, trial._trial_id), self._rules)
            try:
                self.study.tell(trial.number, outcome.values or None, state=outcome.state)
            except (
                RuntimeError
            ):  # the result was stored; the sampler then tried to stop a loop that is not running
                self.study.set_user_attr(EXHAUSTED, True)
        if self.settings.retry_failed:
            for trial in ended(self.study):
                if trial.state == TrialState.FAIL:
                    enqueue_again(self.study, trial)
        trials = self.study.get_trials(deepcopy=False)
        for number in {one for trial in trials for one in history_of(trial)}:
            if trials[number].user_attrs.get(SWEEP, {}).get("id") == self.sweep.id:
                for name in self._names(number):
                    set_aside(self.folder.path / name)

    @property
    def _has_one_objective(self) -> bool:
        """Whether a stopper has a value to compare."""
        return len(self.objectives) == 1

    @property
    def _rules(self) -> list[Constraint]:
        return [Constraint.parse(text) for text in self.settings.constraints or ()]

    def _names(self, number: int) -> list[str]:
        """Folders of a trial's jobs."""
        n = len(self.settings.repeats)
        return [str(number)] if n == 1 else [f"{number}/{i}" for i in range(n)]

    def _outcome(self, records: Sequence[TrialRecord]) -> Outcome | None:
        return outcome_of(records, self.objectives, len(self.settings.repeats))

    @contextmanager
    def _ending_the_search(self) -> Iterator[None]:
        """Stop on an error and keep it: Optuna drops it when no trial is left to start."""
        try:
            yield
        except (TrialPruned, FailedTrialError):
            raise
        except Exception as error:
            self._errors.append(error)
            self.study.stop()
            raise

    def _objective(self, trial: Trial) -> tuple[float, ...]:
        """Run a trial's jobs, and return the values of its objectives."""
        with self._ending_the_search():
            return self._values(trial)

    def _values(self, trial: Trial) -> tuple[float, ...]:
        try:
            trial.set_user_attr(SWEEP, {"folder": str(self.folder.path), "id": self.sweep.id})
            trial.set_user_attr(FOLDER, str(self.folder.path / str(trial.number)))
            outcome = self._run(trial)
        except (HydraException, OmegaConfBaseException, TamisError) as error:
            outcome = Outcome(TrialState.FAIL, reason=explain(error))
        except self.workers.blameless:
            enqueue_again(self.study, self.study.trials[trial.number])
            raise
        outcome.note_on(trial, self._rules)
        if outcome.state == TrialState.PRUNED:
            raise TrialPruned(outcome.reason)
        if outcome.state == TrialState.FAIL:
            raise FailedTrialError(outcome.reason)
        return outcome.values

    def _run(self, trial: Trial) -> Outcome:
        """Run the jobs of one trial one after the other; the stopper may end them in between, and a job early."""
        overrides = self.space.overrides(lambda parameter: parameter.suggest(trial))
        names, repeats = self._names(trial.number), self.settings.repeats
        records: list[TrialRecord] = []
        outcome = None
        while outcome is None:
            i = len(records)
            self._run_on_worker(names[i], (*overrides, *repeats[i]), trial)
            records.append(read_record(self.folder.path / names[i]))
            if same := records[i].labels.get(SAME_AS):
                trial.set_user_attr(SAME_AS, [*trial.user_attrs.get(SAME_AS, []), same])
            outcome = self._outcome(records)
            is_good = outcome is None or outcome.state == TrialState.COMPLETE
            stops = (
                is_good and len(names) > 1 and self._stops(trial, records[i].measured[self.objectives[0]], i)
            )
            if stops and outcome is None:
                outcome = Outcome(TrialState.PRUNED, reason=f"stopped after {i + 1} of {len(names)} jobs")
        return outcome

    def _run_on_worker(self, name: str, overrides: tuple[str, ...], trial: Trial) -> None:
        """Run a job on a worker; it leaves a record in any case. The only job of a trial reports to the stopper."""
        with self._one_at_a_time:
            config = self.compose(overrides)
        job = Job(name, overrides, config, {"trial": str(trial.number), "study": self.study.study_name})
        try:
            if not self._has_one_objective or len(self.settings.repeats) > 1:
                self._wait(self.workers.submit(run_job, job, self.folder.path))
                return
            with self.workers.listening(lambda value, step: self._stops(trial, value, step)) as watch:
                self._wait(self.workers.submit(run_job, job, self.folder.path, watch))
        except WorkerDiedError as error:
            leave_failure(job, self.folder.path, str(error))

    def _stops(self, trial: Trial, value: float, step: int) -> bool:
        """Report to the stopper the objective as it is after a stage; returns whether it ends the trial."""
        if not self._has_one_objective:
            return False
        trial.report(value, step)
        return bool(trial.should_prune())

    @staticmethod
    def _wait(future: Future[str]) -> None:
        """Wait for a worker. Ctrl-C reaches the main thread only, which waits for the one that waits here."""
        while not wait([future], timeout=POLL_S).done:
            if interrupted():
                future.cancel()
                raise KeyboardInterrupt
        future.result()

    def _after(self, study: Study, trial: FrozenTrial) -> None:
        """Publish and show a trial; end the search where it has all trials."""
        with self._ending_the_search():
            self._show(trial)
        if self._left() <= 0:
            study.stop()

    def _show(self, trial: FrozenTrial) -> None:
        """Publish and show a trial; raises TamisError where too many failed."""
        for name in self._names(trial.number):
            self.publish(name)
        result = ", ".join(f"{value:.6g}" for value in trial.values or ()) or trial.user_attrs.get(ERROR, "")
        keys = " ".join(lines_of(trial.params))
        same = f", as of trial {', '.join(trial.user_attrs[SAME_AS])}" if SAME_AS in trial.user_attrs else ""
        line = f"trial {trial.number} {trial.state.name.lower()}: {result}{same}  [{keys}]"
        plain_console().print(line, markup=False)
        n = len(ended(self.study))
        if n >= ENOUGH and self.n_failed > self.settings.max_failure_rate * n:
            raise TamisError(
                f"more trials failed than hydra.sweeper.max_failure_rate={self.settings.max_failure_rate:g} allows: "
                f"{self.tally()}"
            )
