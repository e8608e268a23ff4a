"""Neighbours of every atom, images included: of one structure, or kept between the steps of a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numba import njit
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import check_geometry, in_vacuum, neighbours_within

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

SAME_PLACE = 1e-6
"""Å; nearer atoms have no direction between them."""
SKIN = 0.6
"""Å; a kept list holds neighbours up to this much beyond the reach, so it is valid while atoms move by half of it."""


class Neighbours(NamedTuple):
    """Neighbours sorted by atom: those of atom i are first[i] .. first[i + 1] - 1 of the other arrays."""

    first: Integers
    """(n_atoms + 1,)"""
    others: Integers
    """(n,) atom numbers"""
    vectors: Array
    """(n, 3) from the atom to its neighbour, Å"""
    distances: Array
    """(n,) Å"""


def neighbours_of(atoms: Atoms, reach: float, half: bool = False, closest: float = SAME_PLACE) -> Neighbours:
    """Neighbours within ``reach`` (Å).

    Parameters
    ----------
    half : list every pair only once, see ``_once``. closest : shortest distance that is allowed, Å.

    Raises
    ------
    TamisError : two atoms are nearer than ``closest``, or ``check_geometry`` refuses the structure.
    """
    centres, others, shifts, vectors, distances = neighbours_within(atoms, float(reach), "ijSDd")
    _refuse_nearer(closest, centres, others, distances)
    if half:
        kept = _once(centres, others, shifts)
        centres, others, vectors, distances = centres[kept], others[kept], vectors[kept], distances[kept]
    first = np.searchsorted(centres, np.arange(len(atoms) + 1))
    return Neighbours(
        first.astype(np.int64), others.astype(np.int64), np.ascontiguousarray(vectors), distances
    )


def refuse_overlaps(atoms: Atoms, closest: float) -> None:
    """Raise TamisError if two atoms are nearer than ``closest`` (Å, at most 1); ``check_geometry`` comes before."""
    # few pairs are within 2 Å, and shorter searches would cut a wide vacuum into too many boxes
    _refuse_nearer(closest, *neighbour_list("ijd", in_vacuum(atoms, 1.0), 2.0))


def _refuse_nearer(closest: float, centres: Integers, others: Integers, distances: Array) -> None:
    if distances.min(initial=np.inf) < closest:
        pair = int(distances.argmin())
        raise TamisError(
            f"atoms {centres[pair]} and {others[pair]} are {distances[pair]:.2g} Å apart, on top of each other; "
            "correct or remove the structure"
        )


def _once(centres: Integers, others: Integers, shifts: Integers) -> NDArray[np.bool_]:
    """Which entries list a pair at its smaller member.

    Images of atoms are ordered by atom number, then by lattice translation, which no translation of all changes.
    """
    x, y, z = shifts.T
    upwards = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return (others > centres) | ((others == centres) & upwards)


class VerletList:
    """Neighbours within ``reach`` (Å), searched anew when an atom has moved by half the skin.

    Verlet, Phys. Rev. 159, 98 (1967). half: list every pair only once.

    centres, others: (n,) atom numbers of the listed pairs, sorted by centre.
    translations: (n, 3) cells by which the second atom of a pair is moved; shifts: the same in Å.
    """

    centres: Integers
    others: Integers
    translations: Integers
    shifts: Array

    def __init__(self, reach: float, half: bool = False) -> None:
        self._reach, self._half = reach, half
        self._made_for: Atoms | None = None

    def neighbours(self, atoms: Atoms) -> Neighbours:
        """The neighbours now.

        Raises
        ------
        TamisError : two atoms are at the same place, or positions or cell are not finite.
        """
        self.update(atoms)
        found = Neighbours(*still_near(atoms.positions, self.centres, self.others, self.shifts, self._reach))
        if len(found.distances) and found.distances.min() < SAME_PLACE:
            raise TamisError("two atoms are at the same place; correct or remove the structure")
        return found

    def update(self, atoms: Atoms) -> bool:
        """Search anew where that is due; returns whether it was.

        Raises
        ------
        TamisError : positions or cell are not finite.
        """
        due = not self._holds(atoms)
        if due:
            self._list(atoms)
        return due

    def _list(self, atoms: Atoms) -> None:
        check_geometry(atoms, self._reach + SKIN)
        boxed = in_vacuum(atoms, SKIN)
        centres, others, shifts = neighbour_list("ijS", boxed, self._reach + SKIN)
        if self._half:
            kept = _once(centres, others, shifts)
            centres, others, shifts = centres[kept], others[kept], shifts[kept]
        self.centres, self.others = centres.astype(np.int64), others.astype(np.int64)
        self.translations, self.shifts = shifts.astype(np.int64), shifts @ boxed.cell.array
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
def still_near(
    positions: Array, centres: Integers, others: Integers, shifts: Array, reach: float
) -> tuple[Integers, Integers, Array, Array]:
    """Those of the listed neighbours that are nearer than ``reach``, in the order of ``Neighbours``."""
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
