"""Free atoms, references for the energies of elements, to which no potential is fitted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within
from tamis.core.messages import listed
from tamis.data.dataset import Dataset
from tamis.data.plausibility.distances import radius

BEYOND_BONDS = 2.0
"""Sums of two radii."""
NO_REACH = 6.0
"""Å; noble gases and stretched crystals are bound, or nearly so, at shorter distances."""
MOST_ATOMS = 8
"""Largest number of atoms in a structure of free atoms."""
NAME = "isolatedatom"
"""A group's name without its signs, in small letters, that says so whatever the cell (IsolatedAtom, isolated_atom)."""
SHOWN = 5


def set_isolated_apart(dataset: Dataset) -> Dataset:
    """Move the free atoms of ``dataset`` to ``isolated``, with a note; they tell ``free_energies``, if alone.

    Of several for one element the lowest counts. A set of which half or more are free atoms stays as it is: they are
    its subject, or something else is wrong.
    """
    free = free_atoms_in(dataset)
    if not free or 2 * len(free) >= len(dataset):
        return dataset
    rest = np.setdiff1d(np.arange(len(dataset)), free)
    apart = dataset.subset(free)
    givers = _givers(apart)
    bonded = replace(
        dataset.subset(rest),
        isolated=apart,
        free_energies={element: float(apart.energies[i]) for element, i in givers.items()},
        notes=(*dataset.notes, _note(apart, givers)),
    )
    return dataset.sharing_copies(bonded, rest)


def free_atoms_in(dataset: Dataset) -> list[int]:
    """Indices of structures of free atoms: by their distances, or a single atom whose group is called so."""
    return [
        i
        for i, (atoms, group) in enumerate(zip(dataset.structures, dataset.groups, strict=True))
        if is_isolated(atoms) or (len(atoms) == 1 and "".join(filter(str.isalnum, group)).lower() == NAME)
    ]


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


def _givers(apart: Dataset) -> dict[str, int]:
    """The structure that fixes the energy of each element, among those of one atom."""
    givers: dict[str, int] = {}
    for i in np.argsort(apart.energies, kind="stable")[::-1]:
        if len(apart.structures[i]) == 1:
            givers[apart.structures[i].get_chemical_symbols()[0]] = int(i)
    return dict(sorted(givers.items()))


def _note(apart: Dataset, givers: dict[str, int]) -> str:
    named = [
        f"{name} ({atoms.get_chemical_formula()}, {energy:.6g} eV)"
        for name, atoms, energy in zip(apart.ids, apart.structures, apart.energies, strict=True)
    ]
    told = f"isolated atoms, neither fitted nor tested, and kept in written sets: {listed(named, SHOWN)}"
    if not givers:
        return told
    fixed = [f"{element} ({apart.ids[i]})" for element, i in givers.items()]
    return f"{told}; they are the free atoms of {', '.join(fixed)} in models with free_atoms=fix"
