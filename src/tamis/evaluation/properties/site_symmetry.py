"""Symmetries of a structure in a cubic supercell about a point, and the displacements that keep them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tamis.evaluation.properties.base import Array

SAME_PLACE = 1e-3
"""Å; atoms that an operation takes nearer than this to another are taken onto it."""


@dataclass(frozen=True, eq=False)
class Operation:
    """A rotation or reflection (3, 3) about a point, and the atom that each atom is taken to, (n,)."""

    matrix: Array
    onto: NDArray[np.int64]

    def turned(self, vectors: Array) -> Array:
        """Vectors (n, 3) on the atoms of the turned structure."""
        turned = np.empty_like(vectors)
        turned[self.onto] = vectors @ self.matrix.T
        return turned


def operations_about(atoms: Atoms, centre: Array) -> list[Operation]:
    """Those of the 48 operations of a cube about ``centre`` (3,), Å, that take ``atoms`` onto themselves.

    atoms : of one element, in a cell that is a cube along the axes.
    """
    length = float(atoms.cell.array[0, 0])
    vectors = atoms.positions - centre
    tree = cKDTree(vectors % length % length, boxsize=length)  # twice: -1e-20 % length is length
    found = []
    for axes, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[range(3), axes] = signs
        distances, onto = tree.query((vectors @ matrix.T) % length % length)
        if distances.max() < SAME_PLACE:
            found.append(Operation(matrix, onto))
    return found


def kept_by(operations: list[Operation]) -> Array:
    """Orthonormal displacements (3n, k), in columns, that keep all ``operations``, which are a group."""
    n = len(operations[0].onto)
    columns, done = [], np.zeros(n, dtype=bool)
    for atom in range(n):
        if done[atom]:
            continue
        here = [one.matrix for one in operations if one.onto[atom] == atom]
        values, directions = np.linalg.eigh(np.mean(here, axis=0))
        for direction in directions.T[values > 0.5]:  # of a projection: 0 or 1
            column = np.zeros((n, 3))
            for one in operations:
                column[one.onto[atom]] += one.matrix @ direction
            columns.append(column.ravel() / np.linalg.norm(column))
        done[[one.onto[atom] for one in operations]] = True
    return np.array(columns).reshape(-1, 3 * n).T
