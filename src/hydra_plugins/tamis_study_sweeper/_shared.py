"""A study that several processes work on: how many trials it has, who gets the next, which of them died."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hydra_plugins.tamis_study_sweeper._presence import Presence

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)
WORKER, VOID, RETRY_OF, ATTEMPT, ERROR, OVERRIDES = (
    "worker",
    "void",
    "retry_of",
    "attempt",
    "error",
    "overrides",
)
"""Names of attributes of a trial: who runs it; why it does not count; of which trial it is the repetition; the how
manyth; what went wrong; the overrides of its jobs."""
CONSTRAINTS = "constraints"
"""Attribute of a trial: by how much it breaks each constraint."""
USED_UP = "used_up"
"""Attribute of the study: its sampler has no more points."""
FAR = 100
"""Trials to the end at which an older reading is good enough to see that there is room for one more."""
NEWBORN_S = 60.0
"""A trial without a worker that is younger may be one that another process is about to take."""
POLL_S = 0.5


@dataclass(frozen=True)
class SharedStudy:
    """study, storage: Optuna's. n_trials: total of ended trials. retries: of a trial whose process died.

    stale_after_s: age in seconds at which a trial is given up whose process cannot be seen from here. on_server:
    processes of other folders may work on it, too, which ``presence`` does not show.
    """

    study: Study
    storage: BaseStorage
    presence: Presence
    n_trials: int
    retries: int
    stale_after_s: float
    on_server: bool

    def trials(self) -> list[FrozenTrial]:
        """All trials but those that do not count, because their process died or they were one too many."""
        return [t for t in self.study.get_trials(deepcopy=False) if VOID not in t.user_attrs]

    def ended(self) -> list[FrozenTrial]:
        """Complete, pruned and failed ones."""
        return [trial for trial in self.trials() if trial.state.is_finished()]

    @property
    def is_full(self) -> bool:
        """Whether all trials have ended: the total, or all that the sampler has."""
        trials = self.trials()
        if self._is_used_up:
            return all(trial.state.is_finished() for trial in trials)
        return sum(trial.state.is_finished() for trial in trials) >= self.n_trials

    def used_up(self) -> None:
        """The sampler has no more points: from now on only trials that are enqueued are run."""
        self.study.set_user_attr(USED_UP, True)

    @property
    def _is_used_up(self) -> bool:
        return bool(self.study.user_attrs.get(USED_UP))

    def take(self, known: Sequence[FrozenTrial] | None = None) -> Trial | None:
        """The next trial for this process; None where all are taken.

        Any number of processes may ask at once, on any storage. Each gets a trial of its own first and looks then
        whether there is room for it: the trial with the highest number counts all the others, so there are never too
        many.

        Parameters
        ----------
        known : ``trials()`` as they were read before, which saves reading them again far from the end: with many
            workers on a server, reading is a large part of what a short trial costs.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        while True:
            used_up = self._is_used_up
            is_far = known is not None and len(known) < self.n_trials - FAR and not used_up
            if not is_far:
                trials = self.trials()
                taken = sum(trial.state != TrialState.WAITING for trial in trials)
                if taken >= self.n_trials or (used_up and taken == len(trials)):
                    return None
            known = None
            trial = self.study.ask()
            try:
                trial.set_user_attr(WORKER, self.presence.token)
            except UpdateFinishedTrialError:  # somebody took it for that of a dead process
                continue
            if trial.number < self.n_trials or self._n_before(trial.number) < self.n_trials:
                return trial
            self._withdraw(self._frozen(trial.number), "one too many", again=True)

    def _n_before(self, number: int) -> int:
        """Trials that count and have a lower number."""
        return sum(trial.number < number for trial in self.trials())

    def give_back(self, number: int, reason: str) -> None:
        """A trial of this process that will not be told: somebody else runs it."""
        self._withdraw(self._frozen(number), reason, again=True)

    def reap(self) -> int:
        """Find running trials whose process is gone, and enqueue them again; returns how many there were."""
        from optuna.trial import TrialState

        with self.presence.alone():
            gone = self.presence.gone()  # before the trials: who dies behind this line may have one unseen
            running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            dead = [trial for trial in running if not self._is_alive(trial)]
            for trial in dead:
                self._retire(trial)
            self.presence.clear(gone)
        return len(dead)

    def reap_last(self, wants_to_go_on: Callable[[], bool]) -> int:
        """``reap``, where nothing else is left to do: a young trial without a worker is waited for.

        It is named in a moment, or will be old enough to be reaped. Else a search whose process was killed, or lost an
        answer, while it began that trial would end one short. ``wants_to_go_on``: asked between two looks.
        """
        ends = time.monotonic() + NEWBORN_S  # the machine that began it may have another clock
        while (n := self.reap()) == 0 and self._has_nameless():
            if time.monotonic() >= ends or not wants_to_go_on():
                break
            time.sleep(POLL_S)
        return n

    def _has_nameless(self) -> bool:
        from optuna.trial import TrialState

        return any(t.state == TrialState.RUNNING and WORKER not in t.user_attrs for t in self.trials())

    def _is_alive(self, trial: FrozenTrial) -> bool:
        token = trial.user_attrs.get(WORKER)
        if token is None:
            return self._age(trial) < NEWBORN_S and (self.on_server or bool(self.presence.others()))
        alive = self.presence.is_alive(token)
        return self._age(trial) < self.stale_after_s if alive is None else alive

    @staticmethod
    def _age(trial: FrozenTrial) -> float:
        """Seconds since its start."""
        start = trial.datetime_start
        return 0.0 if start is None else (datetime.now(start.tzinfo) - start).total_seconds()

    def _retire(self, trial: FrozenTrial) -> None:
        attempt = trial.user_attrs.get(ATTEMPT, 1)
        if attempt > self.retries:
            self._set(trial, ERROR, f"its process died, {attempt} times in a row")
            self._tell_failed(trial)
            return
        log.warning("the process of trial %s died; it is run again", trial.number)
        self._withdraw(trial, "its process died", again=True, attempt=attempt + 1)

    def _withdraw(self, trial: FrozenTrial, reason: str, again: bool, attempt: int = 1) -> None:
        """Make a running trial one that does not count; enqueue its values before that, so that a kill loses none."""
        planned = trial.system_attrs.get("fixed_params", {})
        params = {**planned, **trial.params} if OVERRIDES in trial.user_attrs else planned
        known = self.study.get_trials(deepcopy=False)
        if again and params and all(t.user_attrs.get(RETRY_OF) != trial.number for t in known):
            self.study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number, ATTEMPT: attempt})
        self._set(trial, VOID, reason)
        self._tell_failed(trial)

    def _tell_failed(self, trial: FrozenTrial) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with suppress(UpdateFinishedTrialError):
            end(self.study, trial.number, TrialState.FAIL)

    def _set(self, trial: FrozenTrial, name: str, value: Any) -> None:
        """Of a trial that somebody has ended meanwhile nothing is changed."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(self._id_of(trial.number), name, value)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.storage.get_trial(self._id_of(number))

    def _id_of(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    @cached_property
    def _study_id(self) -> int:
        return self.storage.get_study_id_from_name(self.study.study_name)


def end(study: Study, number: int, state: Any, values: Any = None) -> bool:
    """Tell Optuna how a trial ended; returns False where the sampler says that it has no more points.

    A grid that is used up calls ``study.stop``, which raises outside of Optuna's own loop; by then the trial is told.

    Raises
    ------
    UpdateFinishedTrialError : another process has ended it, which took this one for dead.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        study.tell(number, values, state)
    except Exception as error:
        found = [trial for trial in study.get_trials(deepcopy=False) if trial.number == number]
        if not found or not found[0].state.is_finished():
            raise
        if found[0].state != state or VOID in found[0].user_attrs:
            raise UpdateFinishedTrialError(f"trial {number} was ended by another process") from error
        # told before the database went away, and the answer was lost; or an error behind that, a full disk say
        return isinstance(error, UpdateFinishedTrialError) or not isinstance(error, RuntimeError)
    return True
