"""What is measured on a trained potential, from cheap to dear: errors, properties, dynamics."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.errors import Errors
from tamis.evaluation.properties.base import Property

RULE = re.compile(r"\s*(\S+)\s*([<>])\s*(\S+)\s*")
COMPARE = {"<": operator.lt, ">": operator.gt}


class Stage(Protocol):
    """A stage after the errors."""

    def measure(self, subject: Subject) -> Findings:
        """Measure; whatever goes wrong is a problem among the findings."""


@dataclass(frozen=True)
class Rule:
    """A potential whose ``metric`` is beyond ``bound`` is hopeless."""

    text: str
    metric: str
    sign: str
    bound: float

    @classmethod
    def of(cls, text: str) -> Rule:
        """From ``<metric> > <number>`` or ``<metric> < <number>``."""
        match = RULE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            rule = cls(text, match[1], match[2], float(match[3]))
        except ValueError:
            raise TamisError(
                f"evaluation.stop_if has {text!r}; write <metric> > <number>, such as "
                f"{names.error(names.VALIDATION, names.FORCE_MAE)} > 1.0"
            ) from None
        if names.is_of_test(rule.metric):
            raise TamisError(
                f"evaluation.stop_if has {text!r}: the test set decides nothing; take a validation/ metric"
            )
        return rule

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metric is there and beyond the bound."""
        return self.metric in metrics and bool(COMPARE[self.sign](metrics[self.metric], self.bound))


@dataclass(frozen=True)
class Evaluation:
    """Errors, properties, dynamics.

    errors: measured at every point of a learning curve; the rest at the last one only.
    properties: name -> property; None in place of one, or of all: not measured.
    property_limit_s: wall time of each property, s, after which it has failed.
    dynamics: MD; None: none.
    stop_if: rules ``<metric> > <number>``; a potential that fulfils one is hopeless, and the stages that are left are
    skipped, with the reason.
    """

    errors: Errors
    properties: Mapping[str, Property | None] | None
    property_limit_s: float
    dynamics: Stage | None
    stop_if: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_if", tuple(self.stop_if))
        _ = self.rules  # checks them
        if not self.property_limit_s > 0:
            raise TamisError(
                f"evaluation.property_limit_s is {self.property_limit_s}; a time above 0 s is needed"
            )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """``stop_if``, understood."""
        return tuple(Rule.of(text) for text in self.stop_if)

    @property
    def stages(self) -> dict[str, Callable[[Subject], Findings]]:
        """What comes after the errors, from cheap to dear."""
        stages: dict[str, Callable[[Subject], Findings]] = {}
        wanted = {name: one for name, one in (self.properties or {}).items() if one is not None}
        if wanted:
            stages["properties"] = lambda subject: self._properties(wanted, subject)
        if self.dynamics is not None:
            stages["dynamics"] = self.dynamics.measure
        return stages

    def _properties(self, wanted: Mapping[str, Property], subject: Subject) -> Findings:
        from tamis.evaluation.properties.stage import measure_properties

        return measure_properties(wanted, subject, self.property_limit_s)

    def hopeless(self, metrics: Mapping[str, float]) -> str:
        """Why the stages that are left are not worth their time; "" where they are."""
        for rule in self.rules:
            if rule.holds(metrics):
                return f"skipped: {rule.metric} is {metrics[rule.metric]:.4g}, and stop_if says {rule.text!r}"
        return ""

    def mistaken(self, metrics: Mapping[str, float]) -> str:
        """What in ``stop_if`` names no metric that was measured; "" where all do."""
        unknown = [rule.metric for rule in self.rules if rule.metric not in metrics]
        return f"stop_if names {', '.join(unknown)}, which was not measured" if unknown else ""
