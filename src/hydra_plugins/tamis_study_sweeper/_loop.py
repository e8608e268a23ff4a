"""Ask for a trial, run its jobs, tell how it ended; until the study has all its trials."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from hydra_plugins.tamis_study_sweeper import _reporting as reporting
from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._observer import Observer
from hydra_plugins.tamis_study_sweeper._outcome import (
    COMPLETE,
    PRUNED,
    Outcome,
    Rule,
    mean_of,
    outcome_of,
)
from hydra_plugins.tamis_study_sweeper._progress import progress
from hydra_plugins.tamis_study_sweeper._shared import CONSTRAINTS, ERROR, OVERRIDES, SharedStudy, end
from hydra_plugins.tamis_study_sweeper._space import Space
from hydra_plugins.tamis_study_sweeper._turns import Turns
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)
ENOUGH = 10
"""Ended trials before a rate of failures means anything."""
LONG_ENOUGH_S = 2.0
"""Of a turn: no trial begins in it any more."""


@dataclass(frozen=True)
class Loop:
    """One process' work on a study.

    repeats: overrides of each job of a trial (one empty list: one job). batch_size: trials that the launcher gets at
    a time; 1: they are run in this process, and may be stopped. may_stop: whether there is a stopper.
    turns: whom it shares its cores with while trials run here; None: they run elsewhere. wants_to_go_on: asked before
    each trial.
    """

    shared: SharedStudy
    space: Space
    launcher: Launcher
    observer: Observer
    folder: Path
    repeats: Sequence[Sequence[str]]
    rules: Sequence[Rule]
    max_failure_rate: float
    batch_size: int
    may_stop: bool
    turns: Turns | None
    wants_to_go_on: Callable[[], bool]

    def run(self) -> None:
        """Work until all trials are taken.

        Raises
        ------
        StudyError : too many trials fail, or what jobs return does not fit the study.
        """
        goes_on = True
        while goes_on:
            with nullcontext() if self.turns is None else self.turns.one():
                goes_on = self._take_turn()

    def _take_turn(self) -> bool:
        """Run trials until the turn is long enough; returns whether there may be more of them.

        What a trial leaves in the processor's caches serves the next one of the same process, and what others told
        meanwhile is read in one go.
        """
        known: list[FrozenTrial] | None = None
        ends = time.monotonic() + LONG_ENOUGH_S
        while known is None or time.monotonic() < ends:
            trials = self._take(known) if self.wants_to_go_on() else []
            if not trials:
                return self.wants_to_go_on() and self.shared.reap_last(self.wants_to_go_on) > 0
            more: dict[int, bool] = {}
            with self._giving_back(trials):
                for trial, outcome in self._run(trials):
                    with _left_to_others(trial):
                        more[trial.number] = self._tell(trial, outcome)
            known = self.shared.trials()
            self._report(set(more), known)
            self._check_failures(known)
            if not all(more.values()):
                log.info("the sampler has no more points")
                self.shared.used_up()
                return False
        return True

    def _take(self, known: Sequence[FrozenTrial] | None) -> list[Trial]:
        found: list[Trial] = []
        while len(found) < self.batch_size and (trial := self.shared.take(known)) is not None:
            found.append(trial)
        return found

    @contextmanager
    def _giving_back(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Trials that are not told when the block is left by an error, or Ctrl-C, are for somebody else."""
        try:
            yield
        except BaseException:
            running = {t.number for t in self.shared.trials() if not t.state.is_finished()}
            for trial in trials:
                if trial.number in running:
                    self.shared.give_back(trial.number, "interrupted")
            raise

    def _run(self, trials: Sequence[Trial]) -> list[tuple[Trial, Outcome]]:
        """How their jobs ended, without trials that another process has given up by then."""
        done: list[tuple[Trial, Outcome]] = []
        batch: list[tuple[Trial, list[str]]] = []
        for trial in trials:
            with _left_to_others(trial):
                overrides = self.space.suggest(trial)
                trial.set_user_attr(OVERRIDES, redacted(overrides))
                if self.batch_size == 1:
                    done.append((trial, self._run_here(trial, overrides)))
                else:
                    batch.append((trial, overrides))
        return done + self._launch_batch(batch) if batch else done

    def _run_here(self, trial: Trial, overrides: Sequence[str]) -> Outcome:
        """The jobs of one trial, one after the other; the stopper may end them in between, and a job early."""
        outcomes: list[Outcome] = []
        for i in range(len(self.repeats)):
            alone = self.may_stop and len(self.repeats) == 1
            with reporting.listening(_listener(trial)) if alone else nullcontext():
                (returned,) = self._launch([self._job(trial.number, overrides, i)], trial.number)
            outcomes.append(outcome_of(returned, len(self.shared.study.directions)))
            if outcomes[-1].status != COMPLETE:
                break
            last = i == len(self.repeats) - 1
            if self.may_stop and not alone and _listener(trial)(outcomes[-1].values[0], i) and not last:
                outcomes.append(Outcome(PRUNED, reason=f"stopped after {i + 1} of {len(self.repeats)} jobs"))
                break
        return mean_of(outcomes)

    def _launch_batch(self, batch: Sequence[tuple[Trial, list[str]]]) -> list[tuple[Trial, Outcome]]:
        """All jobs of several trials at once, wherever the launcher runs them."""
        size = len(self.repeats)
        jobs = [self._job(trial.number, overrides, i) for trial, overrides in batch for i in range(size)]
        n = len(self.shared.study.directions)
        outcomes = [outcome_of(returned, n) for returned in self._launch(jobs, batch[0][0].number)]
        return [(trial, mean_of(outcomes[i * size : (i + 1) * size])) for i, (trial, _) in enumerate(batch)]

    def _launch(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        logging.getLogger("hydra._internal.core_plugins.basic_launcher").setLevel(logging.WARNING)
        return self.launcher.launch(jobs, initial_job_idx=first)

    def _job(self, number: int, overrides: Sequence[str], i: int) -> list[str]:
        """Overrides of job i of a trial: its folder has the trial's number, so that no other one can get it."""
        subdir = f"{number}" if len(self.repeats) == 1 else f"{number}/{i}"
        return [*overrides, *self.repeats[i], f"hydra.sweep.subdir='{subdir}'"]

    def _tell(self, trial: Trial, outcome: Outcome) -> bool:
        from optuna.trial import TrialState

        states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}
        state = states.get(outcome.status, TrialState.FAIL)
        if outcome.reason:
            trial.set_user_attr(ERROR, redacted(outcome.reason))
        if self.rules and state == TrialState.COMPLETE:
            self._set_constraints(trial, outcome)
        values = outcome.values if state == TrialState.COMPLETE else None
        return end(self.shared.study, trial.number, state, values)

    def _report(self, told: set[int], known: Sequence[FrozenTrial]) -> None:
        log.info(progress(self.shared, known))
        for trial in known:
            if trial.number in told:
                self.observer.trial_ended(self.shared.study, trial, self.folder)

    def _set_constraints(self, trial: Trial, outcome: Outcome) -> None:
        broken = [rule.broken_by(outcome.measured) for rule in self.rules]
        trial.set_user_attr(CONSTRAINTS, broken)  # Optuna 4 reads it through constraints_of
        if hasattr(trial, "set_constraint"):
            for rule, amount in zip(self.rules, broken, strict=True):
                trial.set_constraint(rule.text, amount)

    def _check_failures(self, known: Sequence[FrozenTrial]) -> None:
        from optuna.trial import TrialState

        ended = [trial for trial in known if trial.state.is_finished()]
        failed = [trial for trial in ended if trial.state == TrialState.FAIL]
        if len(ended) >= ENOUGH and len(failed) > self.max_failure_rate * len(ended):
            raise StudyError(
                f"{len(failed)} of {len(ended)} trials failed, more than hydra.sweeper.max_failure_rate="
                f"{self.max_failure_rate} allows; the last: {failed[-1].user_attrs.get(ERROR, 'without a reason')}"
            )


@contextmanager
def _left_to_others(trial: Trial) -> Iterator[None]:
    """Leave the block where another process has ended the trial, which took this one for dead."""
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        yield
    except UpdateFinishedTrialError:
        log.warning(
            "trial %s was given up by another process, which took this one for dead; what it gave here does not count",
            trial.number,
        )


def constraints_of(trial: Any) -> Sequence[float]:
    """By how much a trial breaks each constraint, as Optuna 4 asks for it."""
    return tuple(trial.user_attrs.get(CONSTRAINTS, (float("inf"),)))


def _listener(trial: Trial) -> reporting.Listener:
    def listen(value: float, step: int) -> bool:
        trial.report(value, step)
        return bool(trial.should_prune())

    return listen
