"""What makes a study the same one, and what may change under its name; nothing is written before all is checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_plugins.tamis_study_sweeper._domain import CHOICE, FLOAT, INT, Parameter, as_text
from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._shared import CONSTRAINTS, USED_UP
from hydra_plugins.tamis_study_sweeper._space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)
DEFINITION, VERSION = "definition", "optuna_version"
LONGEST_LIST = 20
"""Differences that a message names."""


def check_folder(storage: BaseStorage, name: str, folder: Path, address: str) -> None:
    """Refuse a new study in a folder that holds the trials of another one, before it is made."""
    try:
        storage.get_study_id_from_name(name)
    except KeyError:
        if folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir()):
            raise StudyError(
                f"{folder} holds trials, and there is no study {name!r} in {address}; choose another "
                "hydra.sweep.dir or the storage of that study"
            ) from None


def clashes_of(
    study: Study, space: Space, directions: Sequence[str], constraints: Sequence[str]
) -> list[str]:
    """Why the trials of a study cannot be gone on with, in words; empty where they can.

    Optuna knows one kind, scale and list of choices by one name, one direction of each objective, and compares trials
    by as many constraints.
    """
    found = []
    before = [one.name.lower() for one in study.directions]
    if before != list(directions):
        found.append(f"its direction is {', '.join(before)}, and {', '.join(directions)} now")
    trials = study.get_trials(deepcopy=False)
    numbers = {len(trial.user_attrs[CONSTRAINTS]) for trial in trials if CONSTRAINTS in trial.user_attrs}
    if other := numbers - {len(constraints)}:
        found.append(f"its trials have {other.pop()} constraints, and {len(constraints)} now")
    for parameter in {one.name: one for one in space.parameters}.values():
        found += list(dict.fromkeys(_clashes(parameter, space, trials)))
    return found


def _clashes(parameter: Parameter, space: Space, trials: Sequence[FrozenTrial]) -> Iterator[str]:
    name = parameter.name
    domains = [one for one in space.parameters if one.name == name]
    for trial in trials:
        if name in trial.distributions and (before := _incompatible(trial.distributions[name], parameter)):
            yield f"{name} was {before}, and is {parameter}"
        planned: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
        waits = not trial.state.is_finished() and name in planned
        if waits and parameter.kind == CHOICE and not any(one.holds(planned[name]) for one in domains):
            yield f"trial {trial.number} waits with {name}={as_text(planned[name])}, and {name} is {parameter}"


def _incompatible(before: BaseDistribution, parameter: Parameter) -> str:
    """What the key was, in words, if Optuna does not take what it is now."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(before, CategoricalDistribution):
        same = parameter.kind == CHOICE and _typed(before.choices) == _typed(parameter.choices)
        return "" if same else f"one of {', '.join(map(as_text, before.choices))}"
    if isinstance(before, IntDistribution | FloatDistribution):
        kind = INT if isinstance(before, IntDistribution) else FLOAT
        scale = " (log)" if before.log else ""
        same = (kind, before.log) == (parameter.kind, parameter.log)
        return "" if same else f"{kind} {as_text(before.low)} to {as_text(before.high)}{scale}"
    return str(before)


def _typed(choices: Sequence[Any]) -> list[tuple[type, Any]]:
    return [(type(choice), choice) for choice in choices]


def check_definition(
    study: Study, definition: Mapping[str, str], clashes: Sequence[str], on_change: str, address: str
) -> None:
    """Keep what makes the study this one; refuse to go on with another under the same name.

    Parameters
    ----------
    definition : name -> value, all that must be equal. clashes : why its trials cannot be gone on with.
    on_change : ``refuse`` or ``continue``.

    Raises
    ------
    StudyError : names each difference; the study is as it was.
    """
    import optuna
    from packaging.version import Version

    if on_change not in ("refuse", "continue"):
        raise StudyError(f"hydra.sweeper.on_change is {on_change!r}; it is refuse or continue")
    before = study.user_attrs.get(DEFINITION)
    made_by = study.user_attrs.get(VERSION, "0")
    if Version(made_by).release[:1] > Version(optuna.__version__).release[:1]:
        raise StudyError(
            f"study {study.study_name!r} was made by Optuna {made_by}, this is {optuna.__version__}; install that "
            "version, or choose another hydra.sweeper.study_name"
        )
    lines = [] if before is None else _differences(before, definition)
    if clashes:
        raise StudyError(
            f"study {study.study_name!r} in {address} is another one, and Optuna cannot go on with its trials:\n"
            + "\n".join(f"  {one}" for one in clashes[:LONGEST_LIST])
            + "\nchoose another hydra.sweeper.study_name; the study is as it was"
        )
    if lines and on_change == "refuse":
        raise StudyError(
            f"study {study.study_name!r} in {address} is another one:\n"
            + "\n".join(lines)
            + "\nchoose another "
            "hydra.sweeper.study_name, or hydra.sweeper.on_change=continue to go on with these trials all the same"
        )
    if lines:
        log.warning("study %r goes on, changed:\n%s", study.study_name, "\n".join(lines))
    if before is None:
        study.set_user_attr(VERSION, optuna.__version__)
    if before != definition:
        study.set_user_attr(DEFINITION, dict(definition))
        study.set_user_attr(USED_UP, False)


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    lines = [
        f"  {name}: {before.get(name, 'not there')} before, {now.get(name, 'not there')} now"
        for name in sorted({**before, **now})
        if before.get(name) != now.get(name)
    ]
    more = len(lines) - LONGEST_LIST
    return lines if more <= 0 else [*lines[:LONGEST_LIST], f"  and {more} more"]
