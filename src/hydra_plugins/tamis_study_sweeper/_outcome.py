"""What a job returned: values of the objectives, or why there are none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.tamis_study_sweeper._errors import StudyError

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
RULE = re.compile(r"\s*(?P<name>.+?)\s*(?P<sense><=|>=)\s*(?P<limit>[-+\w.]+)\s*")


@dataclass(frozen=True)
class Outcome:
    """status: complete, pruned (stopped early, or a combination that means nothing) or failed; reason: why.

    values: of the objectives, of a complete job. measured: whatever else has a name and a number, for constraints.
    """

    status: str
    values: tuple[float, ...] = ()
    reason: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A constraint such as ``seconds/fit <= 10``: kept where the amount by which it is broken is not above zero."""

    text: str
    name: str
    at_most: bool
    limit: float

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule that ``text`` describes; raises StudyError where it describes none."""
        match = RULE.fullmatch(str(text))
        try:
            if match is None:
                raise ValueError
            limit = float(match["limit"])
        except ValueError:
            raise StudyError(
                f"hydra.sweeper.constraints has {text!r}; a constraint is '<name> <= <number>' or '<name> >= <number>'"
            ) from None
        return cls(text, match["name"], match["sense"] == "<=", limit)

    def broken_by(self, measured: Mapping[str, float]) -> float:
        """How far a trial is on the wrong side; infinite where it did not measure that."""
        if self.name not in measured:
            return math.inf
        excess = measured[self.name] - self.limit
        return excess if self.at_most else -excess


def outcome_of(returned: JobReturn, n_objectives: int) -> Outcome:
    """What one job returned.

    A job may return a number, a list of numbers, or a mapping with ``values`` (either of these) and, all optional,
    ``status`` (complete, pruned, failed), ``reason`` and ``measured`` (name -> number).

    Raises
    ------
    StudyError : the number of values is not that of the directions, which no other trial would mend.
    """
    if returned.status != JobStatus.COMPLETED:
        error = returned._return_value  # the property prints, and raises it
        return Outcome(FAILED, reason=f"{type(error).__name__}: {error}")
    result = returned.return_value
    if not isinstance(result, Mapping):
        result = {"values": result}
    status, reason = str(result.get("status", COMPLETE)), str(result.get("reason", ""))
    measured = {name: float(value) for name, value in (result.get("measured") or {}).items()}
    if status != COMPLETE:
        return Outcome(PRUNED if status == PRUNED else FAILED, reason=reason, measured=measured)
    return _complete(result.get("values"), n_objectives, measured)


def _complete(values: Any, n_objectives: int, measured: Mapping[str, float]) -> Outcome:
    listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if not all(isinstance(value, Real) for value in listed):
        return Outcome(FAILED, reason=f"the job returned {values!r}, which is no number", measured=measured)
    if len(listed) != n_objectives:
        raise StudyError(
            f"the job returned {len(listed)} values ({', '.join(map(str, listed))}), and hydra.sweeper.direction has "
            f"{n_objectives}; give one direction for each value"
        )
    numbers = tuple(map(float, listed))
    if any(math.isnan(number) for number in numbers):
        return Outcome(FAILED, reason=f"the job returned {values!r}", measured=measured)
    return Outcome(COMPLETE, numbers, measured=measured)


def mean_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Of the repeated jobs of a trial; the first that is not complete decides for all."""
    for outcome in outcomes:
        if outcome.status != COMPLETE:
            return outcome
    values = tuple(
        math.fsum(column) / len(outcomes) for column in zip(*(o.values for o in outcomes), strict=True)
    )
    names = set.intersection(*(set(outcome.measured) for outcome in outcomes))
    measured = {name: math.fsum(o.measured[name] for o in outcomes) / len(outcomes) for name in names}
    return Outcome(COMPLETE, values, measured=measured)
