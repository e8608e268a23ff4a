"""A search space: what is fixed, what is searched, and what is searched only under a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.tamis_study_sweeper._domain import (
    CHOICE,
    Parameter,
    Value,
    When,
    as_text,
    parse_domain,
)
from hydra_plugins.tamis_study_sweeper._errors import StudyError, suggest

if TYPE_CHECKING:
    from optuna.trial import Trial


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
        arguments: Sequence[str],
        parser: OverridesParser,
    ) -> Space:
        """The space that YAML and command line describe.

        A domain that is typed comes instead of that in YAML, under the same conditions.

        Parameters
        ----------
        params : key -> value or domain, in Hydra's syntax. conditional : entries ``{when: {key: value or list},
        params: {key: domain}}``. arguments : overrides as typed.

        Raises
        ------
        StudyError : nothing to search, a domain or a condition that makes no sense.
        """
        typed = {override.get_key_element(): override for override in parser.parse_overrides(list(arguments))}
        listed = {
            override.get_key_element(): override for override in parser.parse_overrides(_as_typed(params))
        }
        under = {key for entry in conditional for key in entry.get("params") or ()}
        found = {
            key: parse_domain(o)
            for key, o in {**listed, **typed}.items()
            if key not in under or key in listed
        }
        fixed = {key: value for key, value in found.items() if isinstance(value, str)}
        parameters = [value for value in found.values() if isinstance(value, Parameter)]
        for entry in conditional:
            when = _condition(entry, {parameter.name for parameter in parameters} | set(fixed))
            for override in parser.parse_overrides(_as_typed(entry["params"])):
                key = override.get_key_element()
                domain = parse_domain(typed.get(key, override), when)
                if isinstance(domain, str):  # a value that belongs to a choice: a choice of one
                    domain = Parameter(key, CHOICE, (domain,), when=when)
                parameters.append(domain)
        space = cls(fixed, _possible(parameters, fixed))
        space._check()
        return space

    def _check(self) -> None:
        if not self.parameters:
            raise StudyError(
                "the search space is empty; give a key several values in hydra.sweeper.params or on the command line, "
                "such as 'x=interval(0, 1)' or 'x=choice(a, b)'"
            )
        first: dict[str, Parameter] = {}
        for parameter in self.parameters:
            other = first.setdefault(parameter.name, parameter)
            if other is parameter:
                continue
            if not parameter.when or not other.when:
                raise StudyError(f"{parameter.name} is in params and under a condition as well; keep one")
            same_kind = (other.kind, other.log, other.choices) == (
                parameter.kind,
                parameter.log,
                parameter.choices,
            )
            if not same_kind or parameter.step != other.step:
                raise StudyError(
                    f"{parameter.name} is {other}, and {parameter}; Optuna knows one kind, scale, step and list of "
                    "choices by one name: only the limits may differ"
                )

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are there only under a condition."""
        return any(parameter.when for parameter in self.parameters)

    @property
    def choices(self) -> tuple[Parameter, ...]:
        """The parameters whose values have no order."""
        return tuple(parameter for parameter in self.parameters if parameter.kind == CHOICE)

    def suggest(self, trial: Trial) -> list[str]:
        """Overrides of one trial: what is fixed, and what the trial gives to each parameter that is there."""
        return self._overrides(lambda parameter: parameter.suggest(trial))

    def _overrides(self, pick: Any) -> list[str]:
        chosen = dict(self.fixed)
        overrides = [f"{key}={value}" for key, value in self.fixed.items()]
        for parameter in self.parameters:
            if parameter.is_active(chosen):
                chosen[parameter.name] = as_text(pick(parameter))
                overrides.append(f"{parameter.key}={chosen[parameter.name]}")
        return overrides

    def kinds(self, groups: set[str]) -> Iterator[list[str]]:
        """Overrides of a few jobs, among which every key is, and every choice of a group of configurations.

        Whether a job can be composed depends on the files that are chosen and on the names of the values that are set,
        not on the values.
        """
        seen = set()
        for parameter in self.parameters:
            values = parameter.values() if parameter.kind == CHOICE else None
            looked_at = (
                values
                if values is not None and parameter.name in groups
                else (values or (parameter.low,))[:1]
            )
            for value in looked_at:
                wanted: dict[str, Value | str] = {parameter.name: value, **self._way_to(parameter)}
                job = self._overrides(lambda p, wanted=wanted: wanted.get(p.name, _first(p)))
                if tuple(job) not in seen:
                    seen.add(tuple(job))
                    yield job

    def _way_to(self, parameter: Parameter) -> dict[str, str]:
        """A value for each key that ``parameter`` depends on."""
        found: dict[str, str] = {}
        by_name = {other.name: other for other in self.parameters}
        for key, values in parameter.when:
            found[key] = values[0]
            if key in by_name:
                found |= self._way_to(by_name[key])
        return found

    def describe(self) -> dict[str, str]:
        """Key -> what it may be, in words; two spaces are the same if these are."""
        words: dict[str, str] = {}
        for parameter in self.parameters:
            words[parameter.name] = "; ".join(filter(None, (words.get(parameter.name, ""), str(parameter))))
        return words

    def check_start(self, start: Mapping[str, Any]) -> None:
        """Refuse a trial to begin with that is not in the space; keys may be left out."""
        for key, value in start.items():
            domains = [parameter for parameter in self.parameters if parameter.name == key]
            if not domains:
                names = [parameter.name for parameter in self.parameters]
                raise StudyError(
                    f"hydra.sweeper.enqueue has {key}, which is not searched; {suggest(key, names)}searched: "
                    f"{', '.join(names)}"
                )
            if not any(domain.holds(value) for domain in domains):
                raise StudyError(
                    f"hydra.sweeper.enqueue has {key}={as_text(value)}; it is {self.describe()[key]}"
                )


def _condition(entry: Mapping[str, Any], known: set[str]) -> When:
    if set(entry) != {"when", "params"} or not entry["when"] or not entry["params"]:
        raise StudyError(
            f"an entry of hydra.sweeper.conditional has {', '.join(map(str, entry)) or 'nothing'}; it needs when: "
            "{key: value or list of values} and params: {key: domain}"
        )
    conditions = []
    for key, values in entry["when"].items():
        if key not in known:
            raise StudyError(
                f"hydra.sweeper.conditional depends on {key}, which is not in the space before it; "
                f"{suggest(key, known)}known there: {', '.join(sorted(known))}"
            )
        listed = values if isinstance(values, list | tuple) else [values]
        conditions.append((str(key), tuple(map(as_text, listed))))
    return tuple(conditions)


def _possible(parameters: Sequence[Parameter], fixed: Mapping[str, str]) -> tuple[Parameter, ...]:
    """Those whose conditions can come true with what is fixed."""
    found: list[Parameter] = []
    for parameter in parameters:
        searched = {other.name for other in found}
        if all(fixed[key] in values if key in fixed else key in searched for key, values in parameter.when):
            found.append(parameter)
    return tuple(found)


def _first(parameter: Parameter) -> Value:
    return parameter.choices[0] if parameter.kind == CHOICE else as_number(parameter)


def as_number(parameter: Parameter) -> float:
    """The lower limit, as its kind."""
    return int(parameter.low) if parameter.kind != CHOICE and parameter.step == 1 else parameter.low


def _as_typed(params: Mapping[str, Any]) -> list[str]:
    """Keys and values of YAML as one would type them."""
    return [f"{key}={_value_as_typed(value)}" for key, value in params.items()]


def _value_as_typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value_as_typed, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_value_as_typed(item)}" for key, item in value.items()) + "}"
    return as_text(value)
