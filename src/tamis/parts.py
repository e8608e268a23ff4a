"""What a trial is made of: a configuration that is checked and resolved, and the objects that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from tamis.bases.base import Basis
from tamis.bases.none import NoDescriptor
from tamis.core.config_check import EXPECTED, check_config, fits
from tamis.core.errors import TamisError
from tamis.core.fields import Whole
from tamis.core.irrelevant import NO_TRIAL
from tamis.core.metrics import is_of_test
from tamis.data.sources.base import Source
from tamis.evaluation.evaluation import Evaluation
from tamis.models.base import Model
from tamis.selection.base import Pruner
from tamis.selection.budget import Budget
from tamis.selection.latent import LatentSpace
from tamis.store import Store

GROUPS = ("dataset", "descriptor", "latent", "pruner", "budget", "model", "evaluation", "experiment")
"""Groups of choices that a trial is made of."""
PARTS = ("store", "descriptor", "latent", "pruner", "budget", "model", "evaluation")
SETTINGS = {
    "seed.split": int,
    "seed.select": int,
    "seed.fit": int,
    "artifacts": bool,
    "validation_fraction": float,
}
"""Types of the values that belong to no part."""
SPLIT, SELECT, FIT = range(3)
"""Streams of random numbers: the same seed means different numbers in different stages."""


@dataclass(frozen=True)
class Parts:
    """The objects that a configuration names."""

    source: Source
    store: Store
    descriptor: Basis
    latent: LatentSpace
    pruner: Pruner
    budget: Budget
    model: Model
    evaluation: Evaluation

    @classmethod
    def of(cls, config: Mapping[str, Any], build: Callable[[str, Any], Any] | None = None) -> Parts:
        """Instantiate every part; their constructors check what they are given.

        ``build`` gets a part's name and configuration, and may give what it built before.
        """
        build = build or build_part
        return cls(
            source=build("dataset", config["dataset"]), **{name: build(name, config[name]) for name in PARTS}
        )


@dataclass(frozen=True)
class Seeds:
    """Of the split, of the pruner's choices, and of the fit (its folds, first weights and MD's velocities)."""

    split: int
    select: int
    fit: int

    @property
    def of_split(self) -> tuple[int, ...]:
        """For the generator that draws the validation set."""
        return self.split, SPLIT

    @property
    def of_choice(self) -> tuple[int, ...]:
        """For the pruner's generator; each split draws its own random structures."""
        return self.select, self.split, SELECT

    @property
    def of_fit(self) -> tuple[int, ...]:
        """For the generator of a fit."""
        return self.fit, FIT


def build_part(name: str, config: Any) -> Any:
    """The object that a node of the configuration names.

    Raises
    ------
    TamisError : it cannot be built; the constructor's own words where it has some.
    """
    try:
        return instantiate(config, _convert_="all")  # plain lists: configs are compared and hashed
    except InstantiationException as error:
        # Hydra wraps what a constructor raises; the user needs the sentence, not the wrapping
        if isinstance(error.__cause__, TamisError):
            raise error.__cause__ from error
        raise TamisError(f"{name} cannot be built: {error.__cause__ or error}") from error


def resolved(config: DictConfig) -> dict[str, Any]:
    """A composed configuration without Hydra's own and the tracker's part, checked, every value worked out.

    Raises
    ------
    TamisError, OmegaConfBaseException : what is wrong with it.
    """
    trial = trial_part(config)
    check_trial(trial)
    return plain(trial, resolve=True)


def trial_part(config: DictConfig) -> DictConfig:
    """Without the nodes that say nothing of a trial."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key not in NO_TRIAL])


def effective(config: dict[str, Any]) -> dict[str, Any]:
    """A resolved configuration without a descriptor that its pruner does not look at.

    Thus ``pruner=random`` is the same trial whatever descriptor is typed beside it.
    """
    try:
        pruner = get_class(config["pruner"]["_target_"])
    except Exception:  # a misspelt name, which is told where it is built
        return config
    if getattr(pruner, "needs_descriptor", True):
        return config
    elements = config["dataset"].get("elements")
    descriptor = {
        "_target_": f"{NoDescriptor.__module__}.{NoDescriptor.__name__}",
        "elements": elements,
        "r_cut": 0.0,
    }
    return config | {"descriptor": descriptor, "choices": config.get("choices", {}) | {"descriptor": "none"}}


def plain(config: DictConfig, resolve: bool) -> dict[str, Any]:
    """Dictionaries and lists, with interpolations worked out or as they stand."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))


def check_trial(config: DictConfig) -> None:
    """Types of all values, and the numbers that belong to no part; raises TamisError, OmegaConfBaseException."""
    for name in ("dataset", *PARTS):
        if not isinstance(config.get(name), DictConfig) or "_target_" not in config[name]:
            raise TamisError(f"{name} is {config.get(name)!r}; one of its choices is needed, as {name}=...")
    check_config(config)
    check_settings(config)


def check_settings(config: Mapping[str, Any]) -> None:
    """The values that belong to no part; raises TamisError."""
    for name, kind in SETTINGS.items():
        node, _, key = name.partition(".")
        value = config.get(node)
        if key:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not fits(value, kind):
            raise TamisError(f"{name} is {value!r}; {EXPECTED[kind]} is needed")
        if kind is int:
            Whole().apply(name, value)
    named = config.get("objective")
    objectives = [named] if isinstance(named, str) else named
    if not isinstance(objectives, Sequence) or not all(
        isinstance(one, str) and one for one in objectives or [0]
    ):
        raise TamisError(f"objective is {named!r}; the name of a metric is needed, or a list of names")
    for objective in objectives:
        if is_of_test(objective):
            raise TamisError(
                f"objective={objective}: the test set decides nothing; take a validation/ metric"
            )
