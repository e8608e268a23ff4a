"""Finds cutoffs within which atoms of the data have no neighbours, so that a basis sees nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.plausibility.distances import nearest_distances, spread_out

LOG = logging.getLogger(__name__)

MOST_ATOMS = 5000
"""Atoms in the sample of structures."""
FEW = 0.01
"""Share of atoms without neighbours that is not reported, such as a gas atom above a surface."""
LARGEST = 20.0
"""Å; larger cutoffs are not checked."""


def cutoff_doubts(dataset: Dataset, parts: dict[str, Any]) -> list[str]:
    """Log and return sentences on cutoffs within which some atoms have no neighbours.

    Parameters
    ----------
    dataset : free atoms set apart. parts : objects with cutoffs, by what a user calls them ("model", "descriptor").

    Raises
    ------
    TamisError : no atom has a neighbour within some cutoff.
    """
    found = []
    chosen = spread_out(dataset, MOST_ATOMS)
    for name, r_cut in [pair for part, value in parts.items() for pair in cutoffs_of(value, part)]:
        if not 0.0 < r_cut < LARGEST:
            continue
        nearest = [nearest_distances(dataset.structures[i], r_cut) for i in chosen]
        share = float(np.mean(np.isinf(np.concatenate(nearest))))
        text = f"{name} is {r_cut:g} Å, within which {share:.1%} of the atoms have no neighbour"
        if share == 1.0:
            raise TamisError(f"{text}: raise it, or dataset.atom_spacing, by which default cutoffs scale")
        if share > FEW:
            LOG.warning("%s", text)
            found.append(text)
    for name, s_min in [pair for part, value in parts.items() for pair in inner_limits_of(value, part)]:
        distances = np.concatenate([nearest_distances(dataset.structures[i], s_min) for i in chosen])
        share = float(np.mean(np.isfinite(distances)))
        if share > FEW:
            shortest = float(distances.min())
            text = (
                f"{name} is {s_min:g} Å, and {share:.1%} of the atoms have a neighbour nearer than that (the nearest "
                f"{shortest:.3g} Å): set {name}={0.95 * shortest:.2g}, a little below the shortest distance"
            )
            LOG.warning("%s", text)
            found.append(text)
    return found


def inner_limits_of(part: Any, name: str) -> Iterator[tuple[str, float]]:
    """Names and values (Å) of the inner limits of distances in a part and the parts in it: those of ChIMES."""
    for field in fields(part) if is_dataclass(part) else ():
        value = getattr(part, field.name, None)
        if field.name == "s_min" and isinstance(value, int | float):
            yield f"{name}.{field.name}", float(value)
        else:
            yield from inner_limits_of(value, f"{name}.{field.name}")


def cutoffs_of(part: Any, name: str) -> Iterator[tuple[str, float]]:
    """Names and values (Å) of all cutoffs of neighbours in a part and the parts in it."""
    if not is_dataclass(part):
        return
    names = [field.name for field in fields(part)]
    for field in names:
        value = getattr(part, field, None)
        order = field.replace(
            "r_cut", "order", 1
        )  # of ChIMES: without clusters of that size there is no cutoff
        if field.startswith("r_cut") and isinstance(value, int | float) and getattr(part, order, 1) > 0:
            yield f"{name}.{field}", float(value)
        elif "r_cut" not in names:
            yield from cutoffs_of(value, f"{name}.{field}")
