"""The ASE calculator of a potential whose energy follows from the neighbours of each atom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from tamis.bases.neighbours import Neighbours, VerletList
from tamis.core.elements import species_of

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class NeighbourCalculator(Calculator, ABC):
    """Energy and energies (eV), forces (eV/Å), and in a cell that is periodic in all directions stress (eV/Å³).

    elements: chemical symbols. offsets: (n_elements,) energies of the free atoms, eV. reach: of the neighbours, Å.
    half: whether each pair of neighbours is listed once.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, elements: Sequence[str], offsets: Array, reach: float, half: bool = False) -> None:
        super().__init__()
        self._elements, self._offsets = tuple(elements), np.asarray(offsets, dtype=float)
        self._list = VerletList(reach, half)

    @abstractmethod
    def contributions(self, species: Integers, near: Neighbours) -> tuple[Array, Array, Array]:
        """Energies of the atoms without the free atoms' (n,), forces (n, 3), derivative by the strain (3, 3).

        species : (n,) place of each atom's element in ``elements``. near : neighbours within the reach.
        """

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties in one pass.

        Raises
        ------
        TamisError : an element is unknown, atoms are on top of each other, or numbers are not finite.
        """
        super().calculate(atoms, properties, system_changes)
        species = species_of(self.atoms, self._elements)
        energies, forces, strain = self.contributions(species, self._list.neighbours(self.atoms))
        energies = energies + self._offsets[species]
        energy = float(energies.sum())
        self.results: dict[str, Any] = {
            "energy": energy,
            "free_energy": energy,
            "energies": energies,
            "forces": forces,
        }
        if self.atoms.pbc.all():
            symmetric = 0.5 * (strain + strain.T) / self.atoms.cell.volume
            self.results["stress"] = symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
