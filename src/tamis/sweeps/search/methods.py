"""Samplers and stoppers of Optuna from configuration, and the pairs that Optuna cannot do."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from hydra.utils import get_class, instantiate
from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from tamis.core.configuration import suggest
from tamis.core.errors import TamisError
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space

NO_CONDITIONS = {
    "CmaEsSampler": "it learns from trials that have all keys, and would draw the others at random",
    "GPSampler": "it learns from trials that have all keys, and would draw the others at random",
    "QMCSampler": "its sequence has a fixed number of dimensions",
    "GridSampler": "it runs every key with every other",
}
"""Samplers that cannot search conditional keys, and why."""
NO_CHOICES = {
    "CmaEsSampler": "it moves a normal distribution of numbers",
    "QMCSampler": "its sequence is of numbers",
}
"""Samplers that would draw choices at random, and why."""
ONE_SEQUENCE = ("GridSampler", "QMCSampler")
"""Samplers whose seed stands for one sequence of points, which every start goes on with."""
ADVICE = "take optuna.samplers.TPESampler"


def check_methods(settings: SearchSettings, space: Space) -> None:
    """Refuse what Optuna cannot do, or would do by drawing at random without a word.

    Raises
    ------
    TamisError : says which sampler or stopper cannot do what, and why.
    """
    name = _class_of(settings.sampler, "sampler").__name__
    numbers = ", ".join(one.name for one in space.parameters if not one.values())
    choices = ", ".join(o.name for o in space.parameters if isinstance(o.domain, CategoricalDistribution))
    if name in NO_CONDITIONS and space.conditional:
        keys = ", ".join(one.name for one in space.conditional)
        raise TamisError(f"{name} cannot search conditional keys ({keys}): {NO_CONDITIONS[name]}; {ADVICE}")
    if name in NO_CHOICES and choices:
        raise TamisError(f"{name} cannot search choices ({choices}): {NO_CHOICES[name]}; {ADVICE}")
    if name == "CmaEsSampler" and len(settings.directions) > 1:
        raise TamisError(f"{name} cannot search several objectives; {ADVICE}, or NSGAIISampler")
    if name in ("GridSampler", "BruteForceSampler") and numbers:
        raise TamisError(
            f"{name} cannot search {numbers}: an interval has no list of values; use range(..., step=...)"
        )
    if not _stops(settings.stopper):
        return
    name = _class_of(settings.stopper or {}, "stopper").__name__
    if len(settings.directions) > 1:
        raise TamisError(
            f"a stopper ({name}) compares one value, and there are {len(settings.directions)} objectives; leave the "
            "stopper out (hydra.sweeper.stopper=null) or search one objective"
        )
    if name == "WilcoxonPruner" and len(settings.repeats) < 2:
        raise TamisError(
            "WilcoxonPruner compares repeated runs of a trial, and a trial has one; list several values in "
            "hydra.sweeper.repeat, or take another stopper"
        )


def make_sampler(config: Mapping[str, Any], space: Space, stream: Sequence[int]) -> BaseSampler:
    """The sampler, its seed mixed with the numbers in ``stream``; an empty stream leaves the seed as it is.

    A sampler that begins again with the same seed repeats its first points: a resumed search, and another command on
    the same study, need other numbers.
    """
    name, arguments = _class_of(config, "sampler").__name__, dict(config)
    if name == "GridSampler":
        arguments.setdefault("search_space", {one.name: one.values() for one in space.parameters})
    if stream and arguments.get("seed") is not None and name not in ONE_SEQUENCE:
        arguments["seed"] = int(np.random.SeedSequence([arguments["seed"], *stream]).generate_state(1)[0])
    sampler: BaseSampler = _make("sampler", arguments)
    return sampler


def make_stopper(config: Mapping[str, Any] | None) -> BasePruner:
    """The stopper, which Optuna calls pruner; without a configuration one that stops nothing."""
    stopper: BasePruner = _make("stopper", config) if config and _stops(config) else NopPruner()
    return stopper


def _stops(config: Mapping[str, Any] | None) -> bool:
    return config is not None and not str(config.get("_target_")).endswith(".NopPruner")


def _make(what: str, arguments: Mapping[str, Any]) -> Any:
    _class_of(arguments, what)
    try:
        return instantiate(dict(arguments))
    except Exception as error:  # whatever a constructor says about its arguments
        raise TamisError(f"hydra.sweeper.{what} cannot be built: {error.__cause__ or error}") from error


def _class_of(config: Mapping[str, Any], what: str) -> type:
    """The class that the configuration names; raises TamisError with what there is to choose."""
    module, base = (optuna.samplers, BaseSampler) if what == "sampler" else (optuna.pruners, BasePruner)
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
    raise TamisError(
        f"hydra.sweeper.{what}._target_ is {target}, which is no {what} of Optuna; {suggest(target, names)}there are "
        f"{', '.join(names)}"
    )
