"""Neighbour lists that outlive the steps of a molecular dynamics run: Verlet, Phys. Rev. 159, 98 (1967)."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numba import njit
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import check_geometry, in_vacuum

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

SKIN = 0.6
"""Å; neighbours up to this much beyond the reach are listed, so that the list holds while atoms move by half of it."""


class VerletList:
    """Neighbours within ``reach`` (Å), listed with a skin and anew when an atom has moved by half of it.

    half: list every pair only once, at its smaller member in an order of all images of all atoms (by atom number,
    then by lattice translation).
    """

    def __init__(self, reach: float, half: bool = False) -> None:
        self._reach, self._half = reach, half
        self._made_for: Atoms | None = None

    def neighbours(self, atoms: Atoms) -> tuple[Integers, Integers, Array, Array]:
        """first (n_atoms + 1,), and of each neighbour within reach: atom number, vector (n, 3) and distance, Å.

        Raises
        ------
        TamisError : two atoms are at the same place, or positions or cell are not finite.
        """
        if not self._holds(atoms):
            self._list(atoms)
        first, others, vectors, distances = neighbours_within(
            atoms.positions, self._centres, self._others, self._shifts, self._reach
        )
        if len(distances) and distances.min() < 1e-6:
            raise TamisError("two atoms are at the same place: no angle is defined; correct the structure")
        return first, others, vectors, distances

    def _list(self, atoms: Atoms) -> None:
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise TamisError(
                "positions or cell hold NaN or infinity: the run has blown up, or the input is wrong"
            )
        check_geometry(atoms, self._reach + SKIN)
        boxed = in_vacuum(atoms, SKIN)
        centres, others, shifts = neighbour_list("ijS", boxed, self._reach + SKIN)
        if self._half:
            x, y, z = shifts.T
            upwards = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
            kept = (others > centres) | ((others == centres) & upwards)
            centres, others, shifts = centres[kept], others[kept], shifts[kept]
        self._centres, self._others = centres.astype(np.int64), others.astype(np.int64)
        self._shifts = shifts @ boxed.cell.array
        self._made_for = atoms.copy()

    def _holds(self, atoms: Atoms) -> bool:
        old = self._made_for
        if old is None or len(old) != len(atoms) or (old.pbc != atoms.pbc).any():
            return False
        if not np.array_equal(old.cell.array, atoms.cell.array):
            return False
        moved = ((atoms.positions - old.positions) ** 2).sum(axis=1)
        return bool(moved.max(initial=0.0) < (0.5 * SKIN) ** 2)


@njit(cache=True)
def neighbours_within(
    positions: Array, centres: Integers, others: Integers, shifts: Array, reach: float
) -> tuple[Integers, Integers, Array, Array]:
    """The listed neighbours that are nearer than ``reach`` now (see ``VerletList.neighbours``)."""
    n_atoms, n = positions.shape[0], centres.shape[0]
    first = np.zeros(n_atoms + 1, dtype=np.int64)
    near, vectors, distances = np.empty(n, dtype=np.int64), np.empty((n, 3)), np.empty(n)
    found = 0
    for pair in range(n):
        i, j = centres[pair], others[pair]
        square = 0.0
        for axis in range(3):
            vectors[found, axis] = positions[j, axis] - positions[i, axis] + shifts[pair, axis]
            square += vectors[found, axis] ** 2
        if square < reach * reach:
            near[found], distances[found] = j, np.sqrt(square)
            first[i + 1] += 1
            found += 1
    return np.cumsum(first), near[:found], vectors[:found], distances[:found]
