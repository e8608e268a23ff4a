"""How a trial ended, from the records of its jobs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from optuna.trial import Trial, TrialState

from tamis.core.errors import TamisError
from tamis.core.metrics import TEST, TRAIN
from tamis.core.secrets import redacted
from tamis.core.suggestions import suggest
from tamis.records.record import COMPLETE, SKIPPED, STOPPED, TrialRecord

ERROR = "error"
"""Attribute of a trial of Optuna: why it has no values."""
RULE = re.compile(r"\s*(?P<name>.+?)\s*(?P<sense><=|>=)\s*(?P<limit>[-+\w.]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A constraint such as ``kept/atoms <= 1000``."""

    text: str
    name: str
    at_most: bool
    limit: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """The rule that ``text`` describes; raises TamisError where it describes none."""
        match = RULE.fullmatch(str(text))
        try:
            return cls(text, match["name"], match["sense"] == "<=", float(match["limit"]))  # type: ignore[index]
        except (TypeError, ValueError):
            raise TamisError(
                f"hydra.sweeper.constraints has {text!r}; a constraint is '<metric> <= <number>' or '<metric> >= "
                "<number>'"
            ) from None

    def broken_by(self, metrics: Mapping[str, float]) -> float:
        """By how much a trial breaks it, not above zero where it does not; infinite without that metric."""
        if self.name not in metrics:
            return math.inf
        excess = metrics[self.name] - self.limit
        return excess if self.at_most else -excess


@dataclass(frozen=True)
class Outcome:
    """The state that Optuna is told, with the values of the objectives and all metrics, or why there are none."""

    state: TrialState
    values: tuple[float, ...] = ()
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def note_on(self, trial: Trial, rules: Sequence[Constraint]) -> None:
        """Tell Optuna what is to be known of a trial before its values."""
        if self.reason:
            trial.set_user_attr(ERROR, redacted(self.reason))
        if self.state == TrialState.COMPLETE:
            for rule in rules:
                trial.set_constraint(rule.text, rule.broken_by(self.metrics))


def outcome_of(records: Sequence[TrialRecord], objectives: Sequence[str], n_jobs: int) -> Outcome | None:
    """The first job that is not complete decides; else the means over all ``n_jobs``. None: jobs are left to run."""
    for record in records:
        if record.status != COMPLETE:
            is_pruned = record.status in (SKIPPED, STOPPED)
            return Outcome(TrialState.PRUNED if is_pruned else TrialState.FAIL, reason=record.reason)
        if missing := [name for name in objectives if name not in record.measured]:
            return Outcome(TrialState.FAIL, reason=without_objective(record, missing[0]))
    if len(records) < n_jobs:
        return None
    names = set.intersection(*(set(record.measured) for record in records))
    metrics = {name: math.fsum(record.measured[name] for record in records) / n_jobs for name in names}
    return Outcome(TrialState.COMPLETE, tuple(metrics[name] for name in objectives), metrics=metrics)


def without_objective(record: TrialRecord, name: str) -> str:
    """Why a trial has no metric ``name``."""
    known = [
        one for one in record.measured if not one.startswith((TRAIN, TEST))
    ]  # nothing is chosen by these
    why = "; ".join(dict.fromkeys(record.problems.values())) or f"{suggest(name, known)}see record.json"
    return f"objective={name} is none of the trial's metrics; {why}"
