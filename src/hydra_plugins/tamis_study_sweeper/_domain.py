"""One key of a search space: which values it may take, and when it is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
    ValueType,
)

from hydra_plugins.tamis_study_sweeper._errors import StudyError

if TYPE_CHECKING:
    from optuna.trial import Trial

CHOICE, INT, FLOAT = "choice", "int", "float"
Value = str | int | float | bool | None
When = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Parameter:
    """A key that is searched.

    key: as an override has it, with ``+`` where it adds. kind: choice, int or float. choices: of a choice.
    low, high: both included. step: distance of the values of an int or a float; None: any float. log: searched on a
    logarithmic scale. when: (key, values) pairs; the parameter is there only if each key has one of its values.
    """

    key: str
    kind: str
    choices: tuple[Value, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    when: When = ()

    @property
    def name(self) -> str:
        """The key without ``+``: what Optuna calls it."""
        return self.key.lstrip("+")

    def is_active(self, chosen: Mapping[str, str]) -> bool:
        """Whether it is there, the values of the keys before it given as text."""
        return all(chosen.get(key) in values for key, values in self.when)

    def suggest(self, trial: Trial) -> Value:
        """The value that a trial of Optuna gives it."""
        if self.kind == CHOICE:
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == INT:
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def values(self) -> tuple[Value, ...] | None:
        """All of them, in order; None for a range of floats without a step."""
        if self.kind == CHOICE:
            return self.choices
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step) + 1
        values = (Decimal(str(self.low)) + Decimal(str(self.step)) * i for i in range(count))
        return tuple(int(value) if self.kind == INT else float(value) for value in values)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of its values."""
        if self.kind == CHOICE:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.low <= value <= self.high
        ):
            return False
        known = self.values()
        return known is None or any(math.isclose(value, float(one)) for one in known)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.kind == CHOICE:
            text = f"one of {', '.join(map(as_text, self.choices))}"
        else:
            by = f" by {as_text(self.step)}" if self.step is not None else ""
            scale = " (log)" if self.log else ""
            text = f"{self.kind} {as_text(self.low)} to {as_text(self.high)}{by}{scale}"
        conditions = " and ".join(f"{key}={'|'.join(values)}" for key, values in self.when)
        return f"{text} if {conditions}" if conditions else text


def as_text(value: Any) -> str:
    """A value as an override has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_domain(override: Override, when: When = ()) -> Parameter | str:
    """The parameter that a swept override describes; of any other override its value, as text.

    ``range`` has Hydra's meaning: the last value is below the stop.

    Raises
    ------
    StudyError : for a domain without values or with a scale that it cannot have.
    """
    if not override.is_sweep_override():
        return str(override.get_value_element_as_str())
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        parameter = _interval(key, value)
    elif isinstance(value, RangeSweep):
        parameter = _range(key, value)
    else:
        encoded = override.sweep_iterator(transformer=Transformer.encode)
        choices = tuple(cast(Value, None if choice == "null" else choice) for choice in encoded)
        parameter = Parameter(key, CHOICE, choices)
        _refuse_tags(key, value.tags if isinstance(value, ChoiceSweep) else set(), ())
        if not choices and override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            raise StudyError(f"{key}: no file of the group fits; choose another pattern")
        texts = [as_text(choice) for choice in choices]
        if twice := sorted({text for text in texts if texts.count(text) > 1}):
            raise StudyError(f"{key} has {', '.join(twice)} more than once; name each choice once")
    return replace(parameter, when=when)


def _interval(key: str, value: IntervalSweep) -> Parameter:
    low, high = value.start, value.end
    _refuse_tags(key, value.tags, ("log",))
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise StudyError(f"{key}: interval({low}, {high}) needs two finite numbers")
    if low >= high:
        raise StudyError(f"{key}: interval({low}, {high}) is empty; the smaller number comes first")
    whole = isinstance(low, int) and isinstance(high, int)
    log = "log" in value.tags
    _check_log(key, log, low)
    return Parameter(key, INT if whole else FLOAT, low=low, high=high, step=1 if whole else None, log=log)


def _range(key: str, value: RangeSweep) -> Parameter:
    _refuse_tags(key, value.tags, ("log",))
    if value.step == 0:
        raise StudyError(f"{key}: a range with step 0 has no end; take another step")
    values = sorted(value.range())
    text = f"range({value.start}, {value.stop}, step={value.step})"
    if not values:
        raise StudyError(f"{key}: {text} is empty; it ends before its stop, so the stop is the larger number")
    log, step = "log" in value.tags, abs(value.step)
    _check_log(key, log, values[0])
    if log and (step != 1 or not isinstance(values[0], int)):
        raise StudyError(f"{key}: {text} cannot be searched by its logarithm; take interval(...) or step=1")
    kind = INT if all(isinstance(one, int) for one in values) else FLOAT
    return Parameter(key, kind, low=values[0], high=values[-1], step=step, log=log)


def _check_log(key: str, log: bool, low: float) -> None:
    if log and low <= 0:
        raise StudyError(f"{key}: {low} has no logarithm; tag(log, ...) needs numbers above zero")


def _refuse_tags(key: str, tags: set[str], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(tags) - set(known)):
        allowed = " and ".join(known) or "none"
        raise StudyError(
            f"{key}: tag {', '.join(unknown)} means nothing here; known for this domain: {allowed}"
        )
