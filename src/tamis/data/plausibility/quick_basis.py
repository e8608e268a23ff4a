"""A few smooth functions of an atom's neighbours, for a rough potential that is fitted in a moment.

The functions of an atom are pair functions, and scalar products of two moments of its neighbours of rank 0, 1 and 2:
the moment tensors of Shapeev, Multiscale Model. Simul. 14, 1153 (2016), with at most two factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.core.geometry import in_vacuum

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
N_MOMENTS = 4
"""Radial functions of the moments."""
PAIRS = np.triu_indices(N_MOMENTS)
RANKS = (slice(0, 1), slice(1, 4), slice(4, 13))
"""Components of the moments of rank 0, 1 and 2."""


@dataclass(frozen=True)
class QuickBasis:
    """Functions of neighbours within ``r_cut``.

    elements : atomic numbers, sorted; each has functions of its own.
    r_cut : Å.
    n_pair : radial functions of every pair of elements; moments do not ask which element a neighbour is.
    """

    elements: tuple[int, ...]
    r_cut: float
    n_pair: int

    @property
    def per_element(self) -> int:
        """Functions of an atom."""
        return self.n_pair * len(self.elements) + len(RANKS) * len(PAIRS[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.per_element * len(self.elements)

    def rows(self, atoms: Atoms) -> tuple[Array, Array, Array]:
        """Energy (K,), forces (n_atoms, 3, K) in 1/Å and strain derivative (6, K), Voigt xx yy zz yz xz xy."""
        first, second, bonds = neighbour_list("ijD", in_vacuum(atoms, 1.0), self.r_cut)
        own = np.searchsorted(self.elements, atoms.numbers)
        values, gradient = self._functions(len(atoms), first, own[second], bonds)
        energy = np.zeros((len(self.elements), self.per_element))
        np.add.at(energy, own, values)
        forces = np.zeros((len(atoms), 3, len(self.elements), self.per_element))
        strain = np.zeros((6, len(self.elements), self.per_element))
        for e in range(len(self.elements)):
            mine = own[first] == e
            part = gradient[mine]
            forces[:, :, e] = summed(part, first[mine], len(atoms)) - summed(part, second[mine], len(atoms))
            virial = np.einsum("pa,pbk->abk", bonds[mine], part)
            strain[:, e] = [0.5 * (virial[a, b] + virial[b, a]) for a, b in VOIGT]
        return energy.ravel(), forces.reshape(len(atoms), 3, -1), strain.reshape(6, -1)

    def _functions(self, n_atoms: int, first: Indices, kinds: Indices, bonds: Array) -> tuple[Array, Array]:
        """Functions of every atom (n_atoms, per_element), and their derivatives by each bond (n_pairs, 3, ...)."""
        distance = np.linalg.norm(bonds, axis=1)
        unit = bonds / distance[:, None]
        g, dg = radial(distance, self.r_cut, self.n_pair)
        of_kind = kinds[:, None] == np.arange(len(self.elements))
        pair = (of_kind[:, :, None] * g[:, None, :]).reshape(len(bonds), -1)
        slope = (of_kind[:, :, None] * dg[:, None, :]).reshape(len(bonds), -1)
        values, gradient = products(n_atoms, first, unit, distance, *radial(distance, self.r_cut, N_MOMENTS))
        return (
            np.concatenate([summed(pair, first, n_atoms), values], axis=1),
            np.concatenate([unit[:, :, None] * slope[:, None, :], gradient], axis=2),
        )


def products(
    n_atoms: int, first: Indices, unit: Array, distance: Array, g: Array, dg: Array
) -> tuple[Array, Array]:
    """Scalar products of two moments of one rank (n_atoms, K), and their derivatives by each bond (n_pairs, 3, K).

    A moment is the sum over bonds of a radial function times a component of 1, u or u u, with u the unit vector of the
    bond D and d its length; du/dD = (1 - u u) / d.
    """
    angular, turn = angular_parts(unit)
    moments = summed(angular[:, :, None] * g[:, None, :], first, n_atoms)
    along = (dg[:, :, None] * unit[:, None, :])[:, None]
    across = (g / distance[:, None])[:, None, :, None]
    slopes = angular[:, :, None, None] * along + turn[:, :, None, :] * across  # (n_pairs, 13, N_MOMENTS, 3)
    values, gradient = [], []
    for rank in RANKS:
        own = moments[:, rank]
        values.append(np.einsum("ick,icm->ikm", own, own)[:, *PAIRS])
        one = np.einsum("pck,pcmx->pkmx", own[first], slopes[:, rank], optimize=True)
        gradient.append((one + one.swapaxes(1, 2))[:, *PAIRS])
    return np.concatenate(values, axis=1), np.concatenate(gradient, axis=1).swapaxes(1, 2)


def angular_parts(unit: Array) -> tuple[Array, Array]:
    """Components of 1, u and u u, (n_pairs, 13), and d times their derivatives by the bond, (n_pairs, 13, 3)."""
    n = len(unit)
    turn = np.eye(3) - unit[:, :, None] * unit[:, None, :]
    tensor = unit[:, :, None] * unit[:, None, :]
    tensor_turn = turn[:, :, None, :] * unit[:, None, :, None] + unit[:, :, None, None] * turn[:, None, :, :]
    angular = np.concatenate([np.ones((n, 1)), unit, tensor.reshape(n, 9)], axis=1)
    return angular, np.concatenate([np.zeros((n, 1, 3)), turn, tensor_turn.reshape(n, 9, 3)], axis=1)


def radial(distance: Array, r_cut: float, n: int) -> tuple[Array, Array]:
    """Gaussians on the outer 70 % of the range, going to zero at ``r_cut``, and derivatives; (n_pairs, n)."""
    centres = np.linspace(0.3, 1.0, n, endpoint=False) * r_cut
    width = 0.7 * r_cut / n
    fall = 1.0 - distance / r_cut
    shift = (distance[:, None] - centres) / width
    bell = np.exp(-0.5 * shift**2)
    values = bell * fall[:, None] ** 2
    return values, bell * (-2.0 / r_cut * fall[:, None]) - shift / width * values


def summed(values: Array, owners: Indices, n: int) -> Array:
    """Sums of ``values`` (n_pairs, ...) over the pairs of each owner, (n, ...)."""
    total = np.zeros((n, *values.shape[1:]))
    if len(values):
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        total[owners[order][starts]] = np.add.reduceat(values[order], starts, axis=0)
    return total
