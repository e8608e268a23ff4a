"""What ``tamis-selections`` has found out about kept sets: a file beside the trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tamis.analysis.trials import Trial
from tamis.records.shape import are_numbers, are_texts, decoded

SELECTIONS_FILE = "selections.json"
REVISION = 1
"""Raised when the same sets give other numbers; a file of another revision counts as missing."""
COMMAND = "tamis-selections"


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
    """measures : folder of a trial -> name -> value at each point. maps : see ``map_key``. spaces : fingerprint of a
    data set -> the common space's name. problems : what could not be described, in words.
    """

    measures: Mapping[Path, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    maps: Mapping[tuple[str, ...], Map] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()


def pool_key(trial: Trial) -> str:
    """Equal for trials of one pool of one data set."""
    parts = (trial.seeds[0], trial.validation_fraction, trial.dataset.get("n_tuning", 0))
    return f"{trial.dataset.get('fingerprint')} {parts}"


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
        for name, one in content.get("trials", {}).items():
            if started.get(folder / name) == one["started"]:
                measures[folder / name] = one["measures"]
        for one in content.get("maps", []):
            maps[tuple(one["key"])] = Map(one["ids"], one["x"], one["y"], one["variance"])
        spaces |= content.get("spaces", {})
        problems += content.get("problems", [])
    return KeptSets(measures, maps, spaces, problems)


def read_file(folder: Path) -> dict[str, Any]:
    """What a folder's file says; nothing where there is none, it is damaged, or of another revision."""
    try:
        content = decoded((folder / SELECTIONS_FILE).read_bytes())
        return content if content["revision"] == REVISION and _is_sound(content) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Whether everything has the type that ``tamis-selections`` gives it; raises where that cannot even be asked."""
    trials = all(
        are_numbers([one["started"]]) and all(map(are_numbers, one["measures"].values()))
        for one in content["trials"].values()
    )
    maps = all(
        are_texts(one["key"])
        and are_texts(one["ids"])
        and are_numbers([*one["x"], *one["y"], one["variance"]])
        and len(one["ids"]) == len(one["x"]) == len(one["y"])
        for one in content["maps"]
    )
    texts = are_texts(content["spaces"].values()) and are_texts(content["problems"])
    return trials and maps and texts
