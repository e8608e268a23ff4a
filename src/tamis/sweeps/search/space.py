"""A search space: what is fixed, what is searched, and what is searched only under a condition."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import Trial, create_trial

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
from tamis.sweeps.overrides import lines_of, written

Domain = CategoricalDistribution | IntDistribution | FloatDistribution
When = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Parameter:
    """A key that is searched.

    key: as an override has it, with ``+`` where it adds. when: (key, values) pairs; the parameter is in a trial only
    if each key has one of its values there.
    """

    key: str
    domain: Domain
    when: When = ()

    @property
    def name(self) -> str:
        """The key without ``+``, which is its name in Optuna."""
        return self.key.lstrip("+")

    def suggest(self, trial: Trial) -> Any:
        """The value that a trial of Optuna gives it."""
        domain = self.domain
        if isinstance(domain, CategoricalDistribution):
            return trial.suggest_categorical(self.name, domain.choices)
        if isinstance(domain, IntDistribution):
            return trial.suggest_int(self.name, domain.low, domain.high, step=domain.step, log=domain.log)
        return trial.suggest_float(self.name, domain.low, domain.high, step=domain.step, log=domain.log)

    def values(self) -> list[Any]:
        """All values, in order; none for an interval of floats, which has no list."""
        domain = self.domain
        if isinstance(domain, CategoricalDistribution):
            return list(domain.choices)
        if domain.step is None:
            return []
        count = round((domain.high - domain.low) / domain.step) + 1
        found = (Decimal(str(domain.low)) + Decimal(str(domain.step)) * i for i in range(count))
        return [int(value) if isinstance(domain, IntDistribution) else float(value) for value in found]

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of its values, and of their type."""
        if isinstance(self.domain, CategoricalDistribution):
            return any(value == one and type(value) is type(one) for one in self.domain.choices)
        try:
            create_trial(params={self.name: value}, distributions={self.name: self.domain}, value=0.0)
        except (ValueError, TypeError):
            return False
        return not isinstance(value, bool)

    def __str__(self) -> str:
        conditions = " and ".join(f"{key}={'|'.join(values)}" for key, values in self.when)
        return f"{in_words(self.domain)} if {conditions}" if conditions else in_words(self.domain)


@dataclass(frozen=True)
class Space:
    """fixed: overrides of every job, key -> text. parameters: what is searched, conditions before what they decide."""

    fixed: Mapping[str, str]
    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(
        cls,
        params: Mapping[str, Any],
        conditional: Sequence[Mapping[str, Any]],
        typed: Sequence[str],
        parser: OverridesParser,
    ) -> Space:
        """The space that the YAML and the overrides ``typed`` on the command line describe.

        A domain that is typed replaces that of the YAML, under the same conditions.

        Raises
        ------
        TamisError : there is nothing to search, or a domain or a condition makes no sense.
        """
        by_hand = {one.get_key_element(): one for one in parser.parse_overrides(list(typed))}
        listed = {one.get_key_element(): one for one in parser.parse_overrides(lines_of(params))}
        under = {key for entry in conditional for key in entry.get("params") or ()} - listed.keys()
        found = {key: one for key, one in {**listed, **by_hand}.items() if key not in under}
        fixed = {k: str(o.get_value_element_as_str()) for k, o in found.items() if not o.is_sweep_override()}
        parameters = [Parameter(k, domain_of(o)) for k, o in found.items() if k not in fixed]
        for entry in conditional:
            when = _condition(entry, {one.name for one in parameters} | set(fixed))
            for override in parser.parse_overrides(lines_of(entry["params"])):
                key = override.get_key_element()
                parameters.append(Parameter(key, domain_of(by_hand.get(key, override)), when))
        space = cls(fixed, _possible(parameters, fixed))
        space._check()
        return space

    def _check(self) -> None:
        if not self.parameters:
            raise TamisError(
                "the search space is empty; give a key several values in hydra.sweeper.params or on the command line, "
                "such as 'model.basis.r_cut=interval(4.0,6.0)' or 'pruner=choice(fps,cur)'"
            )
        first: dict[str, Parameter] = {}
        for parameter in self.parameters:
            other = first.setdefault(parameter.name, parameter)
            if other is not parameter and not (parameter.when and other.when):
                raise TamisError(f"{parameter.name} is in params and under a condition as well; keep one")
            if clash_of(other.domain, parameter.domain):
                raise TamisError(
                    f"{parameter.name} is {other}, and {parameter}; under different conditions only the limits of a "
                    "key may differ, not its kind, scale or choices"
                )

    def overrides(self, pick: Callable[[Parameter], Any]) -> list[str]:
        """Overrides of one trial: what is fixed, and ``pick`` of each parameter that is in it."""
        chosen = dict(self.fixed)
        found = lines_of(self.fixed)
        for one in self.parameters:
            if all(chosen.get(key) in values for key, values in one.when):
                chosen[one.name] = written(pick(one))
                found.append(f"{one.key}={chosen[one.name]}")
        return found

    def covering_jobs(self, groups: set[str]) -> Iterator[list[str]]:
        """Overrides of a few jobs that between them use every key and every choice of every config group.

        Whether a job can be composed depends on the choices of its groups and on the names of the keys that it sets,
        hardly ever on their values.
        """
        jobs: dict[tuple[str, ...], None] = {}
        ways: dict[str, dict[str, str]] = {}
        for one in self.parameters:
            ways[one.name] = {}
            for key, texts in one.when:  # the parameters that it depends on come before it
                ways[one.name] |= {**ways.get(key, {}), key: texts[0]}
            values = one.values() or [_first(one)]
            for value in values if one.name in groups else values[:1]:
                wanted = {**ways[one.name], one.name: value}
                jobs[tuple(self.overrides(lambda p, wanted=wanted: wanted.get(p.name, _first(p))))] = None  # type: ignore[misc]
        yield from map(list, jobs)

    def describe(self) -> dict[str, str]:
        """Key -> what it may be, in words; two spaces are the same if these are."""
        words: dict[str, list[str]] = {}
        for one in self.parameters:
            words.setdefault(one.name, []).append(str(one))
        return {name: "; ".join(texts) for name, texts in words.items()}

    def check_start(self, start: Mapping[str, Any]) -> None:
        """Refuse a first trial that is not in the space; it need not have every key."""
        known = self.describe()
        for key, value in start.items():
            if not any(one.name == key and one.holds(value) for one in self.parameters):
                hint = "" if key in known else suggest(key, known)
                words = "; ".join(f"{name}: {text}" for name, text in known.items())
                raise TamisError(
                    f"hydra.sweeper.enqueue has {key}={written(value)}, which is not in the space; {hint}it has {words}"
                )


def domain_of(override: Override) -> Domain:
    """The values of a key in Optuna's terms; a single value is a choice of one.

    ``range`` has Hydra's meaning: the last value is below the stop.

    Raises
    ------
    TamisError : the domain has no values, or a scale that it cannot have.
    """
    key, value = override.get_key_element(), override.value()
    tags = set(getattr(value, "tags", ()) or ())
    known = set() if isinstance(value, ChoiceSweep) else {"log"}
    if unknown := sorted(tags - known):
        allowed = " and ".join(known) or "none"
        raise TamisError(
            f"{key}: tag {', '.join(unknown)} means nothing here; known for this domain: {allowed}"
        )
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value, log=bool(tags))
        if isinstance(value, RangeSweep):
            return _range(value, log=bool(tags))
        return CategoricalDistribution(_choices(override))
    except ValueError as error:  # Optuna's, about a logarithm of zero, say
        raise TamisError(f"{override.input_line}: {error}") from error


def _interval(value: IntervalSweep, log: bool) -> Domain:
    low, high = value.start, value.end
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError("an interval needs two finite numbers, the smaller one first")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _range(value: RangeSweep, log: bool) -> Domain:
    values = sorted(value.range())
    if not values:
        raise ValueError("the range is empty; it ends before its stop")
    step, low, high = abs(value.step), values[0], values[-1]
    if all(isinstance(one, int) for one in values):
        return IntDistribution(low, high, step=int(step), log=log)
    return FloatDistribution(low, high, step=step, log=log)


def _choices(override: Override) -> list[Any]:
    if not override.is_sweep_override():
        return [str(override.get_value_element_as_str())]
    encoded = override.sweep_iterator(transformer=Transformer.encode)
    choices = [cast(Any, None if one == "null" else one) for one in encoded]
    texts = [written(one) for one in choices]
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise ValueError(f"{', '.join(twice)} is there more than once")
    return choices


def _condition(entry: Mapping[str, Any], known: set[str]) -> When:
    if set(entry) != {"when", "params"} or not entry["when"] or not entry["params"]:
        raise TamisError(
            f"an entry of hydra.sweeper.conditional has {', '.join(map(str, entry)) or 'nothing'}; it needs when: "
            "{key: value or list of values} and params: {key: domain}"
        )
    conditions = []
    for key, values in entry["when"].items():
        if key not in known:
            raise TamisError(
                f"hydra.sweeper.conditional depends on {key}, which is not in the space before it; "
                f"{suggest(key, known)}known there: {', '.join(sorted(known))}"
            )
        listed = values if isinstance(values, list | tuple) else [values]
        conditions.append((str(key), tuple(map(written, listed))))
    return tuple(conditions)


def _possible(parameters: Sequence[Parameter], fixed: Mapping[str, str]) -> tuple[Parameter, ...]:
    """The parameters whose conditions can come true with what is fixed."""
    found: list[Parameter] = []
    for one in parameters:
        searched = {other.name for other in found}
        if all(fixed[key] in values if key in fixed else key in searched for key, values in one.when):
            found.append(one)
    return tuple(found)


def clash_of(before: Any, domain: Domain) -> str:
    """Why Optuna does not take ``domain`` for a key that had ``before``; empty where it does."""
    try:
        check_distribution_compatibility(before, domain)
    except ValueError as error:
        return str(error)
    return ""


def in_words(domain: Domain) -> str:
    """A domain as people say it."""
    if isinstance(domain, CategoricalDistribution):
        return f"one of {', '.join(map(written, domain.choices))}"
    kind = "int" if isinstance(domain, IntDistribution) else "float"
    step = f" by {domain.step}" if domain.step is not None else ""
    return f"{kind} {domain.low} to {domain.high}{step}{' (log)' * domain.log}"


def _first(parameter: Parameter) -> Any:
    return (parameter.values() or [getattr(parameter.domain, "low", None)])[0]
