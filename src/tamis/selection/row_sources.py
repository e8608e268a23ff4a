"""Design rows of the structures of a pool, in whatever basis the descriptor is.

* A linear basis (snap, ace, chimes) has them in the store.
* The symmetry functions (acsf) are taken as a linear model of their own: their values, and their stored gradients.
* SOAP is turned into covariances with points of the pool, which are chosen before any structure is.
* Other descriptors have no derivatives here: they give rows of energies alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from tamis.bases.base import Array, Basis, LinearBasis
from tamis.bases.gap.basis import Candidates, GapBasis
from tamis.bases.gradients import GradientBasis
from tamis.bases.soap import SoapBasis
from tamis.core.elements import species_of
from tamis.data.dataset import Dataset
from tamis.selection.base import Features
from tamis.selection.candidates import choose_candidates
from tamis.selection.distance import by_distance
from tamis.selection.greedy import central
from tamis.selection.information import UNIFORM, AtomRows, Information
from tamis.store import Store

ZETA = 3
"""Exponent of the kernel between SOAP vectors, as in ``model=gap``."""
POINTS = 400
"""Points of the pool, at most, with which covariances are taken."""
POINTS_OF_A_STRUCTURE = 4
"""Environments of one structure, at most, among which the points are chosen."""


def features_of_rows(basis: Basis, pool: Dataset, store: Store, noise: str = UNIFORM) -> Features:
    """The pool for a pruner that looks at design rows; ``noise`` as in `Information.of`.

    Raises
    ------
    TamisError : the memory of the store is too small, or a structure cannot be treated.
    """
    n = len(pool)
    nothing = np.empty((0, 0))
    information = None
    if basis.n_features:
        with store.memory.holding():
            rows = StoredRows.of(basis, pool.structures, store)
            information = Information.of(rows, store.memory, noise)
    return Features(
        np.empty((n, 0)),
        nothing,
        np.empty(0, dtype=np.intp),
        pool.n_atoms,
        tuple(pool.groups),
        information,
        notes=() if information is None else information.said,
    )


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows of many structures, read from the store one after the other.

    read: starts to read values (n_atoms, K) and forces (3 n_atoms, K) of each structure.
    """

    structures: Sequence[Atoms]
    elements: Sequence[str]
    read: Callable[[], Iterator[tuple[Array, Array]]]

    @classmethod
    def of(cls, basis: Basis, structures: Sequence[Atoms], store: Store) -> StoredRows:
        """The rows that this basis has; what is missing in the store is made now."""
        elements = basis.elements
        if isinstance(basis, SoapBasis):
            kernel = GapBasis(basis, ZETA, None, points_of(basis, structures, store))
            store.prepare(kernel, structures)
            soap = store.lazy_values(basis, structures)
            return cls(
                structures,
                elements,
                lambda: zip(
                    (kernel_values(kernel, vectors) for vectors in soap),
                    _flat_forces(kernel, structures, store),
                    strict=True,
                ),
            )
        if isinstance(basis, LinearBasis):
            return cls(structures, elements, lambda: _from_design(basis, structures, store))
        if isinstance(basis, GradientBasis):
            store.prepare(basis, structures)
        values = store.lazy_values(basis, structures)
        if isinstance(basis, GradientBasis):
            return cls(
                structures,
                elements,
                lambda: zip(values, _from_gradients(basis, structures, store), strict=True),
            )
        none = np.empty((0, basis.n_features))
        return cls(structures, elements, lambda: ((one, none) for one in values))

    def __len__(self) -> int:
        return len(self.structures)

    def __iter__(self) -> Iterator[AtomRows]:
        for atoms, (values, forces) in zip(self.structures, self.read(), strict=True):
            yield AtomRows(values, forces, species_of(atoms, self.elements))


def _from_design(
    basis: LinearBasis, structures: Sequence[Atoms], store: Store
) -> Iterator[tuple[Array, Array]]:
    for values, rows in store.stream_with_values(basis, structures):
        yield values.copy(), rows.forces.reshape(-1, rows.forces.shape[2])


def _flat_forces(basis: LinearBasis, structures: Sequence[Atoms], store: Store) -> Iterator[Array]:
    for rows in store.stream(basis, structures):
        yield rows.forces.reshape(-1, rows.forces.shape[2])


def _from_gradients(basis: GradientBasis, structures: Sequence[Atoms], store: Store) -> Iterator[Array]:
    """Minus the derivatives of the sums of the functions, in the columns of the central atoms' elements."""
    width = basis.n_per_element
    for atoms, records in zip(structures, store.gradients(basis, structures), strict=True):
        of_atoms = records[records["moved"] >= 0]
        block = species_of(atoms, basis.elements)[of_atoms["centre"]]
        forces = np.zeros((len(atoms), 3, len(basis.elements), width))
        for number in np.unique(block):
            mine = of_atoms[block == number]
            moved, starts = np.unique(mine["moved"], return_index=True)  # sorted by the moved atom
            forces[moved, :, number] = -np.add.reduceat(mine["derivative"], starts, axis=0, dtype=np.float64)
        yield forces.reshape(3 * len(atoms), -1)


def kernel_values(kernel: GapBasis, vectors: Array) -> Array:
    """Covariances of each atom with the points, (n_atoms, K), from its SOAP vector, as ``kernel.evaluate`` has them."""
    width = kernel.soap.width
    found = np.empty((len(vectors), kernel.n_candidates))
    for number, element in enumerate(kernel.elements):
        columns = np.flatnonzero(kernel.candidates.elements == element)
        block = vectors[:, number * width : (number + 1) * width]
        found[:, columns] = (block @ kernel.candidates.points[columns].T) ** kernel.zeta
    return found


def points_of(soap: SoapBasis, structures: Sequence[Atoms], store: Store) -> Candidates:
    """At most ``POINTS`` environments, far apart: of structures that are far apart, where there are many."""
    if len(structures) > POINTS:
        means = np.array([values.mean(axis=0) for values in store.lazy_values(soap, structures)])
        order = by_distance(means, [central(means)], POINTS, farthest=True)
        structures = [structures[i] for i in np.sort(order)]
    found = choose_candidates(soap, structures, POINTS_OF_A_STRUCTURE, store)
    # points of different elements are far from each other: their kernel is zero
    names = np.array(found.elements)[:, None] == np.array(soap.elements)
    places = np.hstack([found.points, 2.0 * names])
    chosen = np.sort(by_distance(places, [central(places)], min(POINTS, len(places)), farthest=True))
    return Candidates(found.points[chosen], found.elements[chosen], found.owners[chosen])
