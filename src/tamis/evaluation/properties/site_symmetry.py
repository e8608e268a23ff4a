"""Symmetries of a structure about a point, and what they save: directions of a search, and atoms in a calculation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from typing import Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tamis.evaluation.properties.base import Array, PropertyError, Sample

SAME_PLACE = 1e-4
"""In units of the cell; atoms that an operation takes nearer than this to another are taken onto it."""


@runtime_checkable
class OfSomeAtoms(Protocol):
    """A calculator whose energy is a sum over atoms, of which it can leave some out."""

    def weighted(self, atoms: Atoms, weights: Array) -> tuple[float, Array]:
        """Sum of the atoms' energies times ``weights`` (n,), eV, and its forces (n, 3), eV/Å."""


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


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A group of operations about a point."""

    operations: list[Operation]

    @classmethod
    def about(cls, atoms: Atoms, centre: Array) -> Symmetry:
        """Those of the 48 operations of a cube about ``centre`` (3,), Å, that take ``atoms`` onto themselves.

        atoms : of one element, in a cell that is periodic in all directions.
        """
        cell, inverse = atoms.cell.array, np.linalg.inv(atoms.cell.array)
        vectors = atoms.positions - centre
        tree = cKDTree(vectors @ inverse % 1.0 % 1.0, boxsize=1.0)  # twice: -1e-20 % 1 is 1
        found = []
        for axes, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
            matrix = np.zeros((3, 3))
            matrix[range(3), axes] = signs
            turned_cell = cell @ matrix.T @ inverse
            if not np.allclose(turned_cell, np.rint(turned_cell), atol=SAME_PLACE):
                continue
            distances, onto = tree.query(vectors @ matrix.T @ inverse % 1.0 % 1.0)
            if distances.max() < SAME_PLACE:
                found.append(Operation(matrix, onto))
        return cls(found)

    def of_atom(self, atom: int) -> Symmetry:
        """The operations that leave an atom in its place."""
        return Symmetry([one for one in self.operations if one.onto[atom] == atom])

    def mean(self, vectors: Array) -> Array:
        """The part of vectors (n, 3) that keeps the symmetry."""
        return np.asarray(np.mean([one.turned(vectors) for one in self.operations], axis=0))

    @cached_property
    def weights(self) -> Array:
        """(n,): one of each set of equal atoms stands for all, with their number; the others have 0."""
        orbits = np.sort([one.onto for one in self.operations], axis=0)
        numbers = 1 + (np.diff(orbits, axis=0) > 0).sum(axis=0)
        return np.where(orbits[0] == np.arange(orbits.shape[1]), numbers, 0).astype(float)

    @cached_property
    def directions(self) -> Array:
        """Orthonormal displacements (3n, k), in columns, that keep the symmetry."""
        columns, n = [], len(self.weights)
        for atom in np.flatnonzero(self.weights).tolist():
            here = np.mean([one.matrix for one in self.of_atom(atom).operations], axis=0)
            values, ways = np.linalg.eigh(here)
            for way in ways.T[values > 0.5]:  # of a projection: 0 or 1
                column = np.zeros((n, 3))
                column[atom] = way
                columns.append(self.mean(column).ravel())
        found = np.array(columns).reshape(-1, 3 * n)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).T

    def energy_and_forces(self, sample: Sample, atoms: Atoms) -> tuple[float, Array]:
        """Energy, eV, and forces (n, 3), eV/Å, of ``atoms``, which have the symmetry.

        Raises
        ------
        PropertyError : one is not finite.
        """
        if not isinstance(sample.calculator, OfSomeAtoms):
            return sample.energy(atoms), sample.forces(atoms)
        energy, forces = sample.calculator.weighted(atoms, self.weights)
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise PropertyError("the potential gives an energy or forces that are not finite")
        return energy, self.mean(forces)


def forces_about(sample: Sample, atoms: Atoms, centre: Array) -> Array:
    """Forces (n, 3), eV/Å, for which the symmetry about ``centre`` (3,), Å, is used if that saves time.

    Raises
    ------
    PropertyError : one is not finite.
    """
    if not isinstance(sample.calculator, OfSomeAtoms):
        return sample.forces(atoms)
    return Symmetry.about(atoms, centre).energy_and_forces(sample, atoms)[1]
