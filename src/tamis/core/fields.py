"""Rules for the fields of a dataclass, declared beside them: ``r_cut: Annotated[float, Above(0, "Å")]``.

A class that derives from ``Checked`` refuses, when it is built, what its annotations do not allow, and keeps lists as
tuples. Types are compared where a configuration is read (``tamis.core.config_check``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ase.data import atomic_numbers

from tamis.core.errors import TamisError


class Rule(ABC):
    """A rule for a value, or for each entry of a sequence; None is always allowed."""

    unit: str = ""

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Whether the value is allowed."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The allowed values in words, such as "it must be above 0"."""

    def apply(self, name: str, value: Any) -> Any:
        """The value as it is kept.

        Raises
        ------
        TamisError : the rule does not allow it.
        """
        if value is None:
            return None
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = tuple(value)
            if value and all(map(self.allows, value)):
                return value
            raise TamisError(f"{name} is {list(value)}; give at least one, and of each: {self.words}")
        if not self.allows(value):
            unit = f" {self.unit}" if self.unit else ""
            shown = repr(value) if isinstance(value, str) else value
            raise TamisError(f"{name} is {shown}{unit}; {self.words}")
        return value


@dataclass(frozen=True)
class Between(Rule):
    """A finite number from ``low`` to ``high``, both included unless ``above`` or ``below`` exclude them."""

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    say: Any = None
    above: bool = False
    below: bool = False

    def allows(self, value: Any) -> bool:
        """NaN and infinities are not."""
        low = self.low < value if self.above else self.low <= value
        high = value < self.high if self.below else value <= self.high
        return bool(low and high and math.isfinite(value))

    @property
    def words(self) -> str:
        """Both ends, where there are two, and an example."""
        ends = [f"{'above' if self.above else 'at least'} {self.low:g}"] if self.low > -math.inf else []
        ends += [f"{'below' if self.below else 'at most'} {self.high:g}"] if self.high < math.inf else []
        return f"it must be {' and '.join(ends) or 'finite'}" + (f", say {self.say}" * (self.say is not None))


def Above(low: float, unit: str = "", say: Any = None) -> Between:  # noqa: N802 # reads as the rules do
    """A finite number above ``low``."""
    return Between(low, unit=unit, say=say, above=True)


def AtLeast(low: float, unit: str = "", say: Any = None) -> Between:  # noqa: N802
    """A finite number from ``low`` on."""
    return Between(low, unit=unit, say=say)


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number, also where it is written 4.0, from ``low`` to ``high``."""

    low: int = 0
    high: float = math.inf
    say: Any = None

    def allows(self, value: Any) -> bool:
        """A number without a fraction."""
        return not isinstance(value, bool) and value == int(value) and self.low <= value <= self.high

    @property
    def words(self) -> str:
        """Its ends, and an example."""
        end = "on" if self.high == math.inf else f"to {self.high:g}"
        return f"it must be a whole number from {self.low} {end}" + (
            f", say {self.say}" * (self.say is not None)
        )


class OneOf(Rule):
    """One of some words."""

    def __init__(self, *allowed: Any) -> None:
        self.allowed = allowed

    def allows(self, value: Any) -> bool:
        """A word of the list."""
        return value in self.allowed

    @property
    def words(self) -> str:
        """All of them."""
        return f"choose one of {', '.join(map(str, self.allowed))}"


class Symbol(Rule):
    """A chemical symbol."""

    words = "give a chemical symbol, such as Si"

    def allows(self, value: Any) -> bool:
        """A symbol of the periodic table."""
        return atomic_numbers.get(value, 0) > 0


class Symbols(Symbol):
    """Different chemical symbols, kept in alphabetical order; a text is one symbol."""

    words = "name at least one chemical symbol, such as [Si], each once"

    def apply(self, name: str, value: Any) -> Any:
        """Sorted, each once."""
        if value is None:
            return None
        symbols = (value,) if isinstance(value, str) else tuple(sorted(map(str, value)))
        if not symbols or len(set(symbols)) < len(symbols) or not all(map(self.allows, symbols)):
            raise TamisError(f"{name} is {list(symbols)}; {self.words}")
        return symbols


Elements = Annotated[tuple[str, ...], Symbols()]
"""A field of chemical symbols."""


class Texts(Rule):
    """Texts, kept as a tuple; one text stands for a list of one."""

    words = "a text or a list of texts is needed"

    def allows(self, value: Any) -> bool:
        """Any text."""
        return isinstance(value, str)

    def apply(self, name: str, value: Any) -> Any:
        """A tuple, which may be empty."""
        if value is None:
            return None
        return (value,) if isinstance(value, str) else tuple(map(str, value))


@cache
def rules_of(kind: type) -> Mapping[str, tuple[Rule, ...]]:
    """The rules of the fields of a dataclass that have some."""
    hints = get_type_hints(kind, include_extras=True)
    found = {
        one.name: tuple(rule for rule in get_args(hints[one.name])[1:] if isinstance(rule, Rule))
        for one in fields(kind)
        if get_origin(hints[one.name]) is Annotated
    }
    return MappingProxyType(found)


class Checked:
    """A frozen dataclass whose annotations are rules."""

    def __post_init__(self) -> None:
        """Refuse what a rule does not allow.

        Raises
        ------
        TamisError : names the field, its value, and what is allowed.
        """
        for name, rules in rules_of(type(self)).items():  # type: ignore[arg-type] # mypy takes classes for unhashable
            for rule in rules:
                object.__setattr__(self, name, rule.apply(name, getattr(self, name)))
