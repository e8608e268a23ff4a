"""Coverage, entropy and maps of kept sets, beside their trials' records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tamis.analysis.trials import Trial


@dataclass(frozen=True)
class Map:
    """The structures of one pool in two dimensions of one descriptor's latent space.

    ids : of the structures, (n,). x, y : along the two principal axes, (n,). variance : part that these axes hold.
    """

    ids: Sequence[str]
    x: Sequence[float]
    y: Sequence[float]
    variance: float


@dataclass(frozen=True)
class KeptSets:
    """Made by ``tamis.commands.selections``.

    measures : folder of a trial -> name -> value at each point. maps : see ``map_key``. spaces : fingerprint of a data
    set -> the common space's name. problems : what could not be described, in words.
    """

    measures: dict[Path, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    maps: dict[tuple[str, ...], Map] = field(default_factory=dict)
    spaces: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def map_key(trial: Trial) -> tuple[str, ...]:
    """Equal for trials that chose in one latent space of one pool."""
    split = f"{trial.seeds[0]} {trial.validation_fraction} {len(trial.dataset.tuning)}"
    return (trial.dataset.fingerprint, split, trial.parts["descriptor"], trial.parts["latent"])
