"""Samplers and stoppers of Optuna from configuration, and the pairs that Optuna cannot do."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tamis_study_sweeper._errors import StudyError, suggest
from hydra_plugins.tamis_study_sweeper._space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

ONE_SPACE = {
    "CmaEsSampler": "it learns from trials that have all keys, and would draw the others at random",
    "GPSampler": "it learns from trials that have all keys, and would draw the others at random",
    "QMCSampler": "its sequence has a fixed number of dimensions",
    "GridSampler": "it runs every key with every other",
}
"""Samplers that cannot search conditional spaces, and why."""
NO_CHOICES = {
    "CmaEsSampler": "it moves a normal distribution of numbers",
    "QMCSampler": "its sequence is of numbers",
}
"""Samplers that would draw choices at random, and why."""
ONE_OBJECTIVE = {"CmaEsSampler": "its steps go towards one value"}
ONE_SEQUENCE = ("GridSampler", "QMCSampler")
"""Their seed stands for a sequence of points that all processes share."""
ADVICE = "take optuna.samplers.TPESampler"
DIRECTIONS = ("minimize", "maximize")


def check_directions(direction: Any) -> tuple[str, ...]:
    """The direction of each objective; raises StudyError for anything but minimize and maximize."""
    directions = (direction,) if isinstance(direction, str) else tuple(direction or ())
    for one in directions:
        if one not in DIRECTIONS:
            hint = suggest(str(one), DIRECTIONS)
            raise StudyError(f"hydra.sweeper.direction has {one!r}; {hint}each is minimize or maximize")
    if not directions:
        raise StudyError(
            "hydra.sweeper.direction is empty; give minimize or maximize, one for each objective"
        )
    return directions


def check_pairs(
    sampler: DictConfig, stopper: DictConfig | None, space: Space, n_objectives: int, n_repeats: int
) -> None:
    """Refuse what Optuna cannot do, or would do by drawing at random without a word."""
    name = _class_of(sampler, "sampler").__name__
    if name in ONE_SPACE and space.is_conditional:
        keys = ", ".join(p.name for p in space.parameters if p.when)
        raise StudyError(f"{name} cannot search conditional keys ({keys}): {ONE_SPACE[name]}; {ADVICE}")
    if name in NO_CHOICES and space.choices:
        keys = ", ".join(p.name for p in space.choices)
        raise StudyError(f"{name} cannot search choices ({keys}): {NO_CHOICES[name]}; {ADVICE}")
    if name in ONE_OBJECTIVE and n_objectives > 1:
        raise StudyError(
            f"{name} cannot search {n_objectives} objectives: {ONE_OBJECTIVE[name]}; {ADVICE}, or NSGAIISampler"
        )
    endless = [p.name for p in space.parameters if p.values() is None]
    if name in ("GridSampler", "BruteForceSampler") and endless:
        raise StudyError(
            f"{name} cannot search {', '.join(endless)}: an interval has no list of values; use range(..., step=...)"
        )
    if stopper is None:
        return
    name = _class_of(stopper, "stopper").__name__
    if n_objectives > 1:
        raise StudyError(
            f"a stopper ({name}) compares one value, and there are {n_objectives} objectives; leave the stopper out "
            "(hydra.sweeper.stopper=null) or search one objective"
        )
    if name == "WilcoxonPruner" and n_repeats < 2:
        raise StudyError(
            "WilcoxonPruner compares repeated runs of a trial, and a trial has one; list several values in "
            "hydra.sweeper.repeat, or take another stopper"
        )


def make_sampler(
    config: DictConfig,
    space: Space,
    stream: Sequence[int],
    constraints: Callable[[Any], Sequence[float]] | None,
) -> BaseSampler:
    """The sampler, its seed drawn from the configured one and the numbers in ``stream``.

    A sampler that begins again with the same seed repeats its first points: after a restart, and in each worker, the
    numbers have to be others. An empty stream leaves the seed as it is.

    Parameters
    ----------
    config : the sampler's class and arguments. constraints : given to samplers of Optuna 4, which ask for it.
    """
    kind = _class_of(config, "sampler")
    arguments = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    if kind.__name__ == "GridSampler":
        arguments.setdefault("search_space", {p.name: list(p.values() or ()) for p in space.parameters})
    if stream and arguments.get("seed") is not None and kind.__name__ not in ONE_SEQUENCE:
        words = np.random.SeedSequence([arguments["seed"], *stream]).generate_state(1)
        arguments["seed"] = int(words[0])
    if constraints is not None and not _constraints_are_set_on_trials():
        if "constraints_func" not in inspect.signature(kind).parameters:
            raise StudyError(f"{kind.__name__} knows no constraints; {ADVICE}")
        return _make("sampler", {**arguments, "constraints_func": constraints})
    return _make("sampler", arguments)


def make_stopper(config: DictConfig | None) -> BasePruner:
    """The stopper (which Optuna calls pruner); without a configuration one that stops nothing."""
    from optuna.pruners import NopPruner

    return (
        NopPruner()
        if config is None
        else _make("stopper", cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)))
    )


def _make(what: str, arguments: Mapping[str, Any]) -> Any:
    from optuna.exceptions import ExperimentalWarning

    try:
        with warnings.catch_warnings():  # they are tested here, and are what the configuration asks for
            warnings.simplefilter("ignore", ExperimentalWarning)
            return instantiate(dict(arguments))
    except Exception as error:  # whatever a constructor says about its arguments
        raise StudyError(f"hydra.sweeper.{what} cannot be built: {error.__cause__ or error}") from error


def _class_of(config: DictConfig, what: str) -> type:
    """The class that the configuration names; raises StudyError with what there is to choose."""
    import optuna

    base, module = {
        "sampler": (optuna.samplers.BaseSampler, optuna.samplers),
        "stopper": (optuna.pruners.BasePruner, optuna.pruners),
    }[what]
    target = str(config.get("_target_"))
    try:
        found = get_class(target)
    except Exception:  # whatever the import of a mistyped name leads to
        found = None
    if isinstance(found, type) and issubclass(found, base):
        return found
    listed = [getattr(module, name) for name in module.__all__]
    names = [
        f"{module.__name__}.{one.__name__}"
        for one in listed
        if inspect.isclass(one) and issubclass(one, base) and one is not base
    ]
    raise StudyError(
        f"hydra.sweeper.{what}._target_ is {target}, which is no {what} of Optuna; {suggest(target, names)}"
        f"there are {', '.join(names)}"
    )


def _constraints_are_set_on_trials() -> bool:
    """Optuna 5 has constraints as attributes of a trial; Optuna 4 asks a function of the sampler's."""
    from optuna.trial import Trial

    return hasattr(Trial, "set_constraint")
