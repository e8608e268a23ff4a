"""Distances of nearest neighbours, in Å and in units of atomic radii, and free atoms, which have none."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, reference_states
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import in_vacuum, neighbours_within
from tamis.core.messages import listed
from tamis.data.dataset import Dataset

Array = NDArray[np.float64]

FARTHEST_BOND = 2.2
"""Sums of two radii; the search for nearest neighbours ends here."""
BEYOND_BONDS = 2.0
"""Sums of two radii."""
NO_REACH = 6.0
"""Å; noble gases and stretched crystals are bound, or nearly so, at shorter distances."""
MOST_ATOMS = 8
"""Largest number of atoms in a structure of free atoms."""
SHOWN = 5
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


def set_isolated_apart(dataset: Dataset) -> Dataset:
    """Move the free atoms of ``dataset``, references to which no potential is fitted, to ``isolated``, with a note.

    A set of which half or more are free atoms stays as it is: they are its subject, or something else is wrong.
    """
    free = [i for i, atoms in enumerate(dataset.structures) if is_isolated(atoms)]
    if not free or 2 * len(free) >= len(dataset):
        return dataset
    rest = np.setdiff1d(np.arange(len(dataset)), free)
    apart = dataset.subset(free)
    bonded = replace(dataset.subset(rest), isolated=apart, notes=(*dataset.notes, _note(apart)))
    return dataset.sharing_copies(bonded, rest)


def is_isolated(atoms: Atoms) -> bool:
    """Whether all atoms are farther apart than any bond and than NO_REACH."""
    if not 0 < len(atoms) <= MOST_ATOMS or _are_near(atoms):
        return False
    radii = np.array([radius(int(number)) for number in atoms.numbers])
    reach = max(NO_REACH, 2.0 * BEYOND_BONDS * float(radii.max()))
    try:
        first, second, distance = neighbours_within(atoms, reach)
    except TamisError:  # a later check says why it cannot be treated
        return False
    return not (distance < np.maximum(BEYOND_BONDS * (radii[first] + radii[second]), NO_REACH)).any()


def _are_near(atoms: Atoms) -> bool:
    """Whether two atoms, or an atom and its image in the next cell, are plainly nearer than NO_REACH."""
    if any(math.hypot(*vector) < NO_REACH for vector in atoms.cell.array[atoms.pbc].tolist()):
        return True
    bonds = (atoms.positions[:, None] - atoms.positions)[~np.eye(len(atoms), dtype=bool)]
    return bool((np.einsum("ij,ij->i", bonds, bonds) < NO_REACH**2).any())


def _note(apart: Dataset) -> str:
    named = [
        f"{name} ({atoms.get_chemical_formula()}, {energy:.6g} eV)"
        for name, atoms, energy in zip(apart.ids, apart.structures, apart.energies, strict=True)
    ]
    return f"isolated atoms, neither fitted nor tested, and kept in written sets: {listed(named, SHOWN)}"
