"""Compiled evaluation of Behler-Parrinello potentials: features, networks, forces and virial in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.bases.acsf.gradient_kernel import atom_contraction
from tamis.bases.acsf.kernel import Functions, atom_values, triangles
from tamis.bases.acsf.table import SymmetryFunctionTable
from tamis.bases.calculator import NeighbourCalculator
from tamis.bases.neighbours import Neighbours
from tamis.models.nnp.network import Network, energy_and_gradient
from tamis.models.nnp.scaling import Scaling

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class NnpCalculator(NeighbourCalculator):
    """ASE calculator of a Behler-Parrinello potential.

    One scaling, network and offset (eV) per element, in the table's order.
    """

    def __init__(
        self,
        table: SymmetryFunctionTable,
        scalings: Sequence[Scaling],
        networks: Sequence[Network],
        offsets: Array,
    ) -> None:
        super().__init__(table.elements, offsets, table.r_cut)
        self._table, self._networks = table, networks
        self._scalings = [scaling.affine() for scaling in scalings]
        # the kernel has the functions by slot, the networks by column
        self._slots = [np.argsort(np.argsort(columns)) for columns in table.columns]

    def contributions(self, species: Integers, near: Neighbours) -> tuple[Array, Array, Array]:
        """Element by element."""
        energies, forces, strain = np.zeros(len(species)), np.zeros((len(species), 3)), np.zeros((3, 3))
        for element, functions in enumerate(self._table.compiled):
            evaluate(
                functions,
                *self._networks[element].compiled,
                *self._scalings[element],
                self._slots[element],
                np.flatnonzero(species == element),
                near.first,
                near.others,
                near.vectors,
                near.distances,
                species[near.others],
                energies,
                forces,
                strain,
            )
        return energies, forces, strain


@njit(cache=True)
def evaluate(
    of: Functions,
    sizes: Integers,
    kinds: Integers,
    parameters: Array,
    shift: Array,
    factor: Array,
    base: Array,
    fed: Integers,
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

    fed: (n_slots,) the input of the network that a slot feeds. energies: (n_atoms,) set. forces: (n_atoms, 3).
    virial: (3, 3) derivative of the energy with respect to strain.
    """
    slots, inputs, gradient = np.empty(of.n_slots), np.empty(of.n_slots), np.empty(of.n_slots)
    for number in range(centres.shape[0]):
        i = centres[number]
        begin, end = first[i], first[i + 1]
        near, lengths, kind = vectors[begin:end], distances[begin:end], species[begin:end]
        found = triangles(of, near, lengths, kind)
        atom_values(of, found, lengths, kind, slots)
        for s in range(of.n_slots):
            inputs[fed[s]] = (slots[s] - shift[fed[s]]) * factor[fed[s]] + base[fed[s]]
        energies[i] = energy_and_gradient(sizes, kinds, parameters, inputs, gradient)
        for s in range(of.n_slots):
            slots[s] = gradient[fed[s]] * factor[fed[s]]
        by_vector = np.empty((end - begin, 3))
        atom_contraction(of, slots, found, near, lengths, kind, by_vector)
        for n in range(end - begin):
            for a in range(3):
                forces[i, a] += by_vector[n, a]
                forces[others[begin + n], a] -= by_vector[n, a]
                for b in range(3):
                    virial[a, b] += near[n, a] * by_vector[n, b]
