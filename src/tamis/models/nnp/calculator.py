"""Compiled evaluation of Behler-Parrinello potentials: features, networks, forces and virial in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numba import njit
from numpy.typing import NDArray

from tamis.bases.acsf.gradient_kernel import atom_contraction
from tamis.bases.acsf.kernel import Functions, atom_values, triangles
from tamis.bases.acsf.table import SymmetryFunctionTable
from tamis.bases.verlet import VerletList
from tamis.core.errors import TamisError
from tamis.models.nnp.network import Network, energy_and_gradient
from tamis.models.nnp.scaling import Scaling

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class NnpCalculator(Calculator):
    """An ASE calculator of a table of symmetry functions with one network per element."""

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(
        self,
        table: SymmetryFunctionTable,
        scalings: Sequence[Scaling],
        networks: Sequence[Network],
        offsets: Array,
    ) -> None:
        """``scalings``, ``networks``, ``offsets`` (eV): of each element of the table."""
        super().__init__()
        self._table, self._networks, self._offsets = table, networks, offsets
        # scaling by slot, the order in which the kernel has the functions
        self._scalings, self._slots = [], []
        for columns, scaling in zip(table.columns, scalings, strict=True):
            own = np.argsort(np.argsort(columns))
            self._slots.append(own)
            self._scalings.append(scaling.affine())
        self._list = VerletList(table.r_cut)
        self._index = {symbol: i for i, symbol in enumerate(table.elements)}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy (eV), forces (eV/Å) and, in a fully periodic cell, stress (eV/Å³)."""
        super().calculate(atoms, properties, system_changes)
        unknown = sorted(set(self.atoms.get_chemical_symbols()) - set(self._index))
        if unknown:
            raise TamisError(
                f"element {', '.join(unknown)} is unknown to this potential, which has "
                f"{', '.join(self._table.elements)}"
            )
        species = np.array([self._index[s] for s in self.atoms.get_chemical_symbols()], dtype=np.int64)
        first, others, vectors, distances = self._list.neighbours(self.atoms)
        energies, forces, virial = np.zeros(len(species)), np.zeros((len(species), 3)), np.zeros((3, 3))
        for element, functions in enumerate(self._table.compiled):
            evaluate(
                functions,
                *self._networks[element].compiled,
                *self._scalings[element],
                self._slots[element],
                np.flatnonzero(species == element),
                first,
                others,
                vectors,
                distances,
                species[others],
                energies,
                forces,
                virial,
            )
        energies += self._offsets[species]
        self.results: dict[str, Any] = {
            "energy": float(energies.sum()),
            "free_energy": float(energies.sum()),
            "energies": energies,
            "forces": forces,
        }
        if self.atoms.pbc.all():
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / self.atoms.cell.volume)
        elif "stress" in properties:
            raise PropertyNotImplementedError("the stress needs a cell that is periodic in all directions")


@njit(cache=True)
def evaluate(
    of: Functions,
    sizes: Integers,
    kinds: Integers,
    parameters: Array,
    shift: Array,
    factor: Array,
    base: Array,
    own: Integers,
    centres: Integers,
    first: Integers,
    others: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    energies: Array,
    forces: Array,
    virial: Array,
) -> None:
    """Add the contributions of the atoms ``centres`` of one element, in units of the network.

    own: (n_slots,) the input of the network that a slot feeds. energies: (n_atoms,) set. forces: (n_atoms, 3).
    virial: (3, 3) derivative of the energy by strain.
    """
    slots, inputs, gradient = np.empty(of.n_slots), np.empty(of.n_slots), np.empty(of.n_slots)
    for i in centres:
        begin, end = first[i], first[i + 1]
        near, lengths, kind = vectors[begin:end], distances[begin:end], species[begin:end]
        found = triangles(of, near, lengths, kind)
        atom_values(of, found, lengths, kind, slots)
        for s in range(of.n_slots):
            inputs[own[s]] = (slots[s] - shift[own[s]]) * factor[own[s]] + base[own[s]]
        energies[i] = energy_and_gradient(sizes, kinds, parameters, inputs, gradient)
        for s in range(of.n_slots):
            slots[s] = gradient[own[s]] * factor[own[s]]
        by_vector = np.empty((end - begin, 3))
        atom_contraction(of, slots, found, near, lengths, kind, by_vector)
        for n in range(end - begin):
            for a in range(3):
                forces[i, a] += by_vector[n, a]
                forces[others[begin + n], a] -= by_vector[n, a]
                for b in range(3):
                    virial[a, b] += near[n, a] * by_vector[n, b]
