"""The evaluation of a trained potential, from cheap to expensive: errors, properties, dynamics."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.errors import Errors
from tamis.evaluation.properties.base import Property
from tamis.evaluation.properties.stage import measure_properties

RULE = re.compile(r"\s*(\S+)\s*([<>])\s*(\S+)\s*")
COMPARE = {"<": operator.lt, ">": operator.gt}


class Stage(Protocol):
    """A stage after the errors."""

    def measure(self, subject: Subject) -> Findings:
        """Measure; failures are problems among the findings."""


@dataclass(frozen=True)
class StopRule:
    """A potential whose ``metric`` is beyond ``bound`` is hopeless."""

    text: str
    metric: str
    sign: str
    bound: float

    @classmethod
    def of(cls, text: str) -> StopRule:
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
class Evaluation(Checked):
    """Errors, properties, dynamics.

    errors: measured at every point of a learning curve; the other stages at the last point only.
    properties: name -> property; None in place of one, or of all: not measured.
    property_limit_s: wall time of each property, s, after which it has failed.
    dynamics: MD; None: none.
    stop_if: rules ``<metric> > <number>``; a potential that fulfils one is hopeless, and its other stages are skipped.
    """

    errors: Errors
    properties: Mapping[str, Property | None] | None
    property_limit_s: Annotated[float, Above(0, "s")]
    dynamics: Stage | None
    stop_if: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stop_if", tuple(self.stop_if))
        _ = self.rules  # checks them

    @property
    def rules(self) -> tuple[StopRule, ...]:
        """The rules of ``stop_if``."""
        return tuple(StopRule.of(text) for text in self.stop_if)

    @property
    def stages(self) -> dict[str, Callable[[Subject], Findings]]:
        """The stages after the errors, from cheap to expensive."""
        stages: dict[str, Callable[[Subject], Findings]] = {}
        wanted = {name: one for name, one in (self.properties or {}).items() if one is not None}
        if wanted:
            stages["properties"] = lambda subject: measure_properties(wanted, subject, self.property_limit_s)
        if self.dynamics is not None:
            stages["dynamics"] = self.dynamics.measure
        return stages

    def hopeless(self, metrics: Mapping[str, float]) -> str:
        """Why the other stages are skipped; "" if they are not."""
        for rule in self.rules:
            if rule.holds(metrics):
                return f"skipped: {rule.metric} is {metrics[rule.metric]:.4g}, and stop_if says {rule.text!r}"
        return ""

    def mistaken(self, metrics: Mapping[str, float]) -> str:
        """A sentence on rules whose metric was not measured; "" if there are none."""
        unknown = [rule.metric for rule in self.rules if rule.metric not in metrics]
        return f"stop_if names {', '.join(unknown)}, which was not measured" if unknown else ""
