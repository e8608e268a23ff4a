"""Distances of nearest neighbours, in Å and in units of atomic radii."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, reference_states
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.core.geometry import in_vacuum, neighbours_within
from tamis.data.dataset import Dataset

Array = NDArray[np.float64]

FARTHEST_BOND = 2.2
"""Sums of two radii; the search for nearest neighbours ends here."""
NOBLE_GASES = [atomic_numbers[symbol] for symbol in ("He", "Ne", "Ar", "Kr", "Xe", "Rn")]
NEAREST = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "hcp": 1.0}
"""Shortest distance in units of the lattice constant a."""


@cache
def radius(number: int) -> float:
    """Half the distance of nearest neighbours in a metal's crystal, Å; of other elements the covalent radius."""
    known: dict[str, Any] = reference_states[number] or {}
    if known.get("symmetry") in NEAREST and number not in NOBLE_GASES:
        return 0.5 * float(known["a"]) * NEAREST[known["symmetry"]]
    return float(covalent_radii[number])


def usual_bond(atoms: Atoms, farthest: float = FARTHEST_BOND) -> float:
    """Median over the atoms of the distance to the nearest neighbour, over the sum of the two radii.

    Infinity: no neighbour within ``farthest`` of the largest sum of two. Noble gases, which are
    not bound, do not count.

    Raises
    ------
    TamisError : a cell in which neighbours cannot be found.
    """
    radii = np.array([radius(int(number)) for number in atoms.numbers])
    reach = 2.0 * farthest * float(radii.max())
    first, second, distance = neighbours_within(atoms, reach)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, first, distance / (radii[first] + radii[second]))
    bound = nearest[~np.isin(atoms.numbers, NOBLE_GASES)]
    return float(np.median(bound)) if len(bound) else np.inf


def nearest_distances(atoms: Atoms, reach: float) -> Array:
    """Distance to each atom's nearest neighbour, (n_atoms,), Å; infinity: none within ``reach`` (Å)."""
    first, distance = neighbour_list("id", in_vacuum(atoms, 1.0), reach)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, first, distance)
    return nearest


def spread_out(dataset: Dataset, most_atoms: int) -> NDArray[np.intp]:
    """Indices of structures evenly spaced over the set, of about ``most_atoms`` atoms together; at least one."""
    step = max(1, int(np.ceil(dataset.n_atoms.sum() / most_atoms)))
    return np.arange(0, len(dataset), step)
