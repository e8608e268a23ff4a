"""Free atoms among the structures: references for energies, to which no potential is fitted."""

from __future__ import annotations

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
SHOWN = 5


def set_isolated_apart(dataset: Dataset) -> Dataset:
    """Move the free atoms of ``dataset`` to ``isolated``, with a note.

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
    if not 0 < len(atoms) <= MOST_ATOMS:
        return False
    radii = np.array([radius(int(number)) for number in atoms.numbers])
    reach = max(NO_REACH, 2.0 * BEYOND_BONDS * float(radii.max()))
    try:
        first, second, distance = neighbours_within(atoms, reach)
    except TamisError:  # a later check says why it cannot be treated
        return False
    return not (distance < np.maximum(BEYOND_BONDS * (radii[first] + radii[second]), NO_REACH)).any()


def _note(apart: Dataset) -> str:
    named = [
        f"{name} ({atoms.get_chemical_formula()}, {energy:.6g} eV)"
        for name, atoms, energy in zip(apart.ids, apart.structures, apart.energies, strict=True)
    ]
    return f"isolated atoms, neither fitted nor tested, and kept in written sets: {listed(named, SHOWN)}"
