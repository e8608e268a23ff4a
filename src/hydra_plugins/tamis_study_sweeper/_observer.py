"""Who wants to know how a study goes: a tracker of experiments, say."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.tracking.parents import PAUSE_S

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)


class Observer(Protocol):
    """What ``hydra.sweeper.observer`` builds; ``folder`` is the sweep's, a trial's files are in ``folder/<number>``.

    The storage of the study is the truth: what an observer missed, because it or its process was gone, it can find
    there when the study is started again.
    """

    def study_started(self, study: Study, folder: Path, n_others: int) -> None:
        """A process begins to work on the study, where ``n_others`` do already; no other one starts meanwhile."""

    def trial_ended(self, study: Study, trial: FrozenTrial, folder: Path) -> None:
        """A trial has ended in this process."""

    def study_ended(self, study: Study, folder: Path, n_others: int, is_full: bool) -> None:
        """A process leaves the study, where ``n_others`` stay; ``is_full``: all trials have ended."""


class Silent:
    """Observes nothing."""

    def study_started(self, study: Study, folder: Path, n_others: int) -> None:
        """Nothing."""

    def trial_ended(self, study: Study, trial: FrozenTrial, folder: Path) -> None:
        """Nothing."""

    def study_ended(self, study: Study, folder: Path, n_others: int, is_full: bool) -> None:
        """Nothing."""


class Patient:
    """Passes everything on; what goes wrong there is told once, and does not end the study.

    After a trial that it missed the observer is left alone for a while: to be told that a server is away may take
    longer than a trial.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._told, self._pause_until = "", 0.0

    def study_started(self, study: Study, folder: Path, n_others: int) -> None:
        """As the observer's."""
        self._pass_on("study_started", study, folder, n_others)

    def trial_ended(self, study: Study, trial: FrozenTrial, folder: Path) -> None:
        """As the observer's, which makes up at the end what it missed in a pause."""
        if time.monotonic() >= self._pause_until and not self._pass_on("trial_ended", study, trial, folder):
            self._pause_until = time.monotonic() + PAUSE_S

    def study_ended(self, study: Study, folder: Path, n_others: int, is_full: bool) -> None:
        """As the observer's."""
        self._pass_on("study_ended", study, folder, n_others, is_full)

    def _pass_on(self, name: str, *arguments: Any) -> bool:
        """Whether it went well."""
        try:
            getattr(self._observer, name)(*arguments)
        except Exception as error:  # the study is safe in its storage; the observer can catch up from there
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if name != self._told:
                log.warning("%s missed %s (%s)", type(self._observer).__name__, name, reason)
            self._told = name
            return False
        self._told = ""
        return True


def make_observer(config: DictConfig | None) -> Observer:
    """The observer that a configuration names, or one that does nothing."""
    return Patient(Silent() if config is None else instantiate(config))
