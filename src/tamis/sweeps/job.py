"""One trial of a sweep, before it is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tamis.core.irrelevant import NODES, PICTURES, PLACES, RESOURCES

IRRELEVANT_KEYS = (*PLACES, *RESOURCES, *PICTURES)
"""Keys that change no result at any depth."""
ELSEWHERE = ("hydra.", "hydra/", "tracking.", "tracking=", "store.", *(f"dataset.{key}=" for key in PLACES))
"""Overrides that say where trials run, and where files and logs are: they give a trial no other name."""
DIGITS = 8


@dataclass(frozen=True)
class Job:
    """A trial of a sweep.

    name: of its folder below the sweep's; overrides: what one would type behind ``tamis``; config: resolved and plain,
    with the choices of each group; labels: what the record keeps beside it, such as the block of a plan;
    other_names: those that other overrides of the command give the same trial.
    """

    name: str
    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    other_names: tuple[str, ...] = ()

    @property
    def may_take_over(self) -> bool:
        """Whether numbers of an equal trial serve as well as its own: in a search that keeps no potentials."""
        return "study" in self.labels and not self.config["artifacts"]


def affecting_result(overrides: Sequence[str]) -> list[str]:
    """The overrides that may change a result; none of them can hold a password."""
    return [one for one in overrides if not one.lstrip("+~").startswith(ELSEWHERE)]


def digest_of(value: Any) -> str:
    """A short hash for names of folders."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


def name_of(config: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """Name of a trial's folder: what a person looks for, and a hash of what was typed for it."""
    choices = config["choices"]
    words = [choices["model"], choices["pruner"], choices["descriptor"], f"s{config['seed']['split']}"]
    return "-".join(
        [*(word for word in words if word != "none"), digest_of(sorted(affecting_result(overrides)))]
    )


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that decides a trial's result."""
    return {key: _relevant(value) for key, value in config.items() if key not in NODES}


def _relevant(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _relevant(item) for key, item in value.items() if key not in IRRELEVANT_KEYS}
    if isinstance(value, list | tuple):
        return [_relevant(item) for item in value]
    return value


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The values that differ, as ``key: before -> now``."""
    found = []
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append(f"{prefix}{key}: {one} -> {other}")
    return found


def sweep_name(experiment: str | None, typed: Sequence[str]) -> str:
    """Name of a sweep's folder; the same for the same command, which therefore resumes where it was.

    It is ``${tamis.sweep_name:...}`` in a configuration.
    """
    return f"{experiment or 'sweep'}-{digest_of(affecting_result(list(typed)))}"
