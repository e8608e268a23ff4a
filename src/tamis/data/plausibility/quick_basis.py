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
PAIRS = [(k, m) for k in range(N_MOMENTS) for m in range(k, N_MOMENTS)]


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
        return self.n_pair * len(self.elements) + 3 * len(PAIRS)

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
        values = np.zeros((n_atoms, self.per_element))
        gradient = np.zeros((len(bonds), 3, self.per_element))
        distance = np.linalg.norm(bonds, axis=1)
        unit = bonds / distance[:, None]
        g, dg = radial(distance, self.r_cut, self.n_pair)
        for e in range(len(self.elements)):
            mine, columns = kinds == e, slice(e * self.n_pair, (e + 1) * self.n_pair)
            values[:, columns] = summed(g[mine], first[mine], n_atoms)
            gradient[mine, :, columns] = unit[mine, :, None] * dg[mine, None, :]
        g, dg = radial(distance, self.r_cut, N_MOMENTS)
        n_before = self.n_pair * len(self.elements)
        products(values[:, n_before:], gradient[:, :, n_before:], first, unit, distance, g, dg)
        return values, gradient


def products(
    values: Array, gradient: Array, first: Indices, unit: Array, distance: Array, g: Array, dg: Array
) -> None:
    """Fill in products of moments, three ranks for each of PAIRS, and their derivatives by each bond.

    With u the unit vector of a bond D and d its length, d(g u)/dD = g' u u + g/d (1 - u u), and likewise for g u u.
    """
    n_atoms = len(values)
    outer = unit[:, :, None] * unit[:, None, :]
    scalar = summed(g, first, n_atoms)
    vector = summed(unit[:, :, None] * g[:, None, :], first, n_atoms)
    tensor = summed(outer[..., None] * g[:, None, None, :], first, n_atoms)
    on_vector = vector[first]
    along_vector = np.einsum("pa,pak->pk", unit, on_vector)
    on_tensor = np.einsum("pabk,pb->pak", tensor[first], unit)
    along_tensor = np.einsum("pa,pak->pk", unit, on_tensor)
    over = g / distance[:, None]
    for column, (k, m) in enumerate(PAIRS):
        values[:, 3 * column] = scalar[:, k] * scalar[:, m]
        values[:, 3 * column + 1] = np.einsum("ia,ia->i", vector[:, :, k], vector[:, :, m])
        values[:, 3 * column + 2] = np.einsum("iab,iab->i", tensor[..., k], tensor[..., m])
        for a, b in ((k, m), (m, k)):
            gradient[:, :, 3 * column] += (scalar[first, a] * dg[:, b])[:, None] * unit
            gradient[:, :, 3 * column + 1] += (along_vector[:, a] * (dg[:, b] - over[:, b]))[
                :, None
            ] * unit + on_vector[:, :, a] * over[:, b, None]
            gradient[:, :, 3 * column + 2] += (along_tensor[:, a] * (dg[:, b] - 2.0 * over[:, b]))[
                :, None
            ] * unit + 2.0 * on_tensor[:, :, a] * over[:, b, None]


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
