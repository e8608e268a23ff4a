"""Weights of structures: factors of the squared residuals of their energies, forces and stresses in a fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
from tamis.data.sources.labels import label, numbers

Array = NDArray[np.float64]

LABELS = ("energy", "forces", "stress")
OF_STRUCTURE = ("config_weight", "weight")
"""Names, whatever their case, of the weight of a structure: MACE's and NEP's."""
OF_LABEL = {
    "energy": ("config_energy_weight", "energy_weight"),
    "forces": ("config_forces_weight", "config_force_weight", "forces_weight", "force_weight"),
    "stress": (
        *("config_stress_weight", "stress_weight", "config_virials_weight", "config_virial_weight"),
        *("virials_weight", "virial_weight"),
    ),
}
"""The same for weights of one kind of label, by which that of the structure is multiplied."""
OfGroups = Mapping[str, float | Mapping[str, float]]
"""Group -> weight, or weights by kind of label."""


def check_group_weights(weights: OfGroups | None) -> None:
    """Refuse what is no weight."""
    for group, given in (weights or {}).items():
        for name, value in (given if isinstance(given, Mapping) else {"": given}).items():
            where = f"dataset.weights.{group}" + (f".{name}" if name else "")
            if name and name not in LABELS:
                raise TamisError(
                    f"{where} is no setting; {suggest(name, LABELS)}choose among {', '.join(LABELS)}"
                )
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < np.inf:
                raise TamisError(f"{where} is {value!r}; a number from 0 on is needed")


def weights_of_groups(weights: OfGroups | None, groups: Sequence[str]) -> Array:
    """(n, 3), for energy, forces and stress.

    Raises
    ------
    TamisError : a group that no structure belongs to.
    """
    if unknown := sorted(set(weights or {}) - set(groups)):
        raise TamisError(
            f"dataset.weights has {', '.join(unknown)}; {suggest(unknown[0], set(groups))}the groups are "
            f"{', '.join(sorted(set(groups)))}"
        )
    of_group = {
        group: [given.get(name, 1.0) for name in LABELS] if isinstance(given, Mapping) else [given] * 3
        for group, given in (weights or {}).items()
    }
    return np.array([of_group.get(group, [1.0] * 3) for group in groups], dtype=float).reshape(-1, 3)


def weight_keys(names: Iterable[str], wanted: str | None, auto: str) -> dict[str, str]:
    """Kind of label, or "" for all -> the name under which the files have its weight.

    Parameters
    ----------
    names : of all labels. wanted : the name that the user gave, ``auto`` or None (not read).
    """
    if wanted != auto:
        return {"": wanted} if wanted else {}
    by_lower = {name.lower(): name for name in sorted(names, reverse=True)}
    usual = {"": OF_STRUCTURE, **OF_LABEL}
    found = {
        what: next((by_lower[one] for one in alike if one in by_lower), "") for what, alike in usual.items()
    }
    return {what: name for what, name in found.items() if name}


def weights_in_file(frames: Sequence[tuple[str, Atoms]], keys: Mapping[str, str]) -> tuple[Array, list[str]]:
    """(n, 3), 1 where a structure has none, and problems. ``keys`` : as ``weight_keys`` gives them."""
    weights, problems = np.ones((len(frames), 3)), []
    for what, key in keys.items():
        columns = [LABELS.index(what)] if what else [0, 1, 2]
        for i, (name, atoms) in enumerate(frames):
            value = label(atoms, key)
            if value is None:
                continue
            if (number := _weight(value)) is None:
                shown = str(value)[:60]
                problems.append(
                    f"{name}: {key} is {shown!r}; give a number from 0 on, or set dataset.weight_key=null"
                )
            else:
                weights[i, columns] *= number
    return weights, problems


def _weight(value: Any) -> float | None:
    found = numbers(value)
    if found is None or found.size != 1 or not 0.0 <= found.item() < np.inf:
        return None
    return float(found.item())


def told(weights: Array, keys: Mapping[str, str], by_group: bool) -> Iterator[str]:
    """How weights were found, for the line on what was read."""
    sources = [*keys.values(), *(["dataset.weights"] if by_group else [])]
    if sources:
        low, high = float(weights.min(initial=np.inf)), float(weights.max(initial=0.0))
        yield (
            f"weights from {', '.join(sources)} ({low:g} to {high:g})"
            if high > low
            else f"all weights {high:g}"
        )
