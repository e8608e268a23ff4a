"""Samplers and stoppers of Optuna from configuration, and the pairs that Optuna cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import optuna
from hydra.utils import get_class
from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
from tamis.parts import build_part
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
"""Samplers that continue one fixed sequence; a resumed search must keep their seed."""


def check_methods(settings: SearchSettings, space: Space) -> None:
    """Refuse what Optuna cannot do, or would do by drawing at random without a word.

    Raises
    ------
    TamisError : says which sampler or stopper cannot do what, and why.
    """
    sampler, stopper = make_sampler(settings.sampler, space, ()), make_stopper(settings.stopper)
    name, n_objectives = type(sampler).__name__, len(settings.directions)
    conditional = [one.name for one in space.parameters if one.when]
    choices = [one.name for one in space.parameters if isinstance(one.domain, CategoricalDistribution)]
    endless = [one.name for one in space.parameters if not one.values()]
    reason = ""
    if name in NO_CONDITIONS and conditional:
        reason = f"conditional keys ({', '.join(conditional)}): {NO_CONDITIONS[name]}"
    elif name in NO_CHOICES and choices:
        reason = f"choices ({', '.join(choices)}): {NO_CHOICES[name]}"
    elif name == "CmaEsSampler" and n_objectives > 1:
        reason = "several objectives: its steps go towards one value"
    if reason:
        raise TamisError(f"{name} cannot search {reason}; take optuna.samplers.TPESampler")
    if name in ("GridSampler", "BruteForceSampler") and endless:
        raise TamisError(
            f"{name} cannot search {', '.join(endless)}: an interval has no list of values; use range(..., step=...)"
        )
    name = type(stopper).__name__
    if name != "NopPruner" and n_objectives > 1:
        raise TamisError(
            f"a stopper ({name}) compares one value, and there are {n_objectives} objectives; leave it out "
            "(hydra/sweeper/stopper=none) or search one objective"
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
    arguments = dict(config)
    name = str(arguments.get("_target_")).rpartition(".")[2]
    if name == "GridSampler":
        arguments.setdefault("search_space", {one.name: one.values() for one in space.parameters})
    if stream and arguments.get("seed") is not None and name not in ONE_SEQUENCE:
        arguments["seed"] = int(np.random.SeedSequence([arguments["seed"], *stream]).generate_state(1)[0])
    return cast(BaseSampler, _make("sampler", arguments, BaseSampler, optuna.samplers.__all__))


def make_stopper(config: Mapping[str, Any] | None) -> BasePruner:
    """The stopper, which Optuna calls pruner; without a configuration one that stops nothing."""
    if config is None:
        return NopPruner()
    return cast(BasePruner, _make("stopper", config, BasePruner, optuna.pruners.__all__))


def _make(what: str, config: Mapping[str, Any], base: type, listed: Sequence[str]) -> Any:
    """An object of the class that the configuration names; raises TamisError with what there is to choose."""
    target = str(config.get("_target_"))
    try:
        found = get_class(target)
    except Exception:  # whatever the import of a mistyped name leads to
        found = None
    if not isinstance(found, type) or not issubclass(found, base):
        kind = base.__name__.removeprefix("Base")
        names = [
            f"optuna.{kind.lower()}s.{name}" for name in listed if name.endswith(kind) and name[:4] != "Base"
        ]
        raise TamisError(
            f"hydra.sweeper.{what}._target_ is {target}, which is no {what} of Optuna; {suggest(target, names)}there "
            f"are {', '.join(names)}"
        )
    return build_part(f"hydra.sweeper.{what}", dict(config))
