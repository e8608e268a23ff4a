"""What ``tamis-selections`` has found out about kept sets: a file beside the trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tamis.analysis.trials import Trial
from tamis.core.errors import TamisError
from tamis.core.shapes import STRICT, from_json

SELECTIONS_FILE = "selections.json"
REVISION = 1
"""Raised when the same sets give other numbers; a file of another revision counts as missing."""
COMMAND = "tamis-selections"


@dataclass(frozen=True)
class Map:
    """The structures of one pool in two dimensions of one descriptor's latent space.

    key : see ``map_key``. ids : of the structures, (n,). x, y : along the two principal axes, (n,). variance : part
    that these axes hold.
    """

    key: tuple[str, ...]
    ids: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    variance: float


@dataclass(frozen=True)
class Measures:
    """What is known of one trial, which started then: name -> value at each point."""

    started: float
    measures: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class KeptFile:
    """The content of ``selections.json``. trials : by their folders; the rest as in ``KeptSets``."""

    __pydantic_config__ = STRICT

    revision: int = REVISION
    spaces: dict[str, str] = field(default_factory=dict)
    trials: dict[str, Measures] = field(default_factory=dict)
    maps: list[Map] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class KeptSets:
    """measures : folder of a trial -> name -> value at each point. maps : see ``map_key``. spaces : fingerprint of a
    data set -> the common space's name. problems : what could not be described, in words.
    """

    measures: Mapping[Path, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    maps: Mapping[tuple[str, ...], Map] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()


def pool_key(trial: Trial) -> str:
    """Equal for trials of one pool of one data set."""
    parts = (trial.seeds[0], trial.validation_fraction, len(trial.dataset.tuning))
    return f"{trial.dataset.fingerprint} {parts}"


def map_key(trial: Trial) -> tuple[str, ...]:
    """Equal for trials that chose in one latent space of one pool."""
    return (pool_key(trial), trial.parts["descriptor"], trial.parts["latent"])


def read_kept_sets(folders: Iterable[Path], trials: Iterable[Trial]) -> KeptSets:
    """From the files in ``folders`` and beside the trials; empty where there are none.

    A trial that was run again since then is left out.
    """
    started = {trial.folder: trial.started for trial in trials}
    measures: dict[Path, Mapping[str, Sequence[float]]] = {}
    maps: dict[tuple[str, ...], Map] = {}
    spaces: dict[str, str] = {}
    problems: list[str] = []
    for folder in sorted({f.resolve() for f in folders} | {path.parent for path in started}):
        content = read_file(folder)
        for name, one in content.trials.items():
            if started.get(folder / name) == one.started:
                measures[folder / name] = one.measures
        maps |= {one.key: one for one in content.maps}
        spaces |= content.spaces
        problems += content.problems
    return KeptSets(measures, maps, spaces, problems)


def read_file(folder: Path) -> KeptFile:
    """What a folder's file says; nothing where there is none, it is damaged, or of another revision."""
    try:
        found = from_json(KeptFile, (folder / SELECTIONS_FILE).read_bytes())
    except (OSError, TamisError):
        return KeptFile()
    sound = all(len(one.ids) == len(one.x) == len(one.y) for one in found.maps)
    return found if found.revision == REVISION and sound else KeptFile()
