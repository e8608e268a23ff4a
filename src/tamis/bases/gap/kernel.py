"""SOAP energies by two passes over the neighbours: one for density expansions, one for their derivatives.

The expansion of atom i's neighbour density in radial functions R_nl and spherical harmonics, its power spectrum

    c_{a lm} = sum over neighbours j of the element of a:  f_cut(r_ij) R_nl(r_ij) Y_lm(r_ij / r_ij)
    p_{ab l} = (2 - delta_ab)^(1/2) / (2 l + 1)^(1/2) sum over m of c_{a lm} c_{b lm},    b <= a

(Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), eqs. 20-36) and any function of it are known after one
pass. The derivative of that function by p gives its derivative by c, which a second pass over the neighbours turns
into forces. So the gradient of p by every neighbour, most of the work of a descriptor with gradients, is not needed.

``a`` counts radial functions within elements. Real harmonics with Y_00 = 1: the power spectrum is normalised later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.bases.ace.kernel import evaluate_harmonics, evaluate_radial

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class Expansion(NamedTuple):
    """Definition of the expansion: N radial functions, angular momenta up to L, S elements."""

    r_cut: float
    """Å"""
    width: float
    """Å, of the cutoff function's fall"""
    n_max: int
    l_max: int
    table: Array
    """(nodes, (L + 1) N, 2) R_nl without the cutoff function at place l N + n, and its slope times the spacing"""
    centre: Array
    """(N,) contribution of the central atom to c_{n 00} of its own element"""


class Pairs(NamedTuple):
    """The two-body energies: K kinds of pairs of elements."""

    r_cut: float
    """Å"""
    width: float
    """Å"""
    table: Array
    """(nodes, K, 2) energy of a pair for either atom, eV, without the cutoff function, and slope times spacing"""
    kind: Integers
    """(S, S) kind of a pair of elements"""


@njit(cache=True)
def cutoff(r: float, r_cut: float, width: float) -> tuple[float, float]:
    """QUIP's cosine, 1 up to r_cut - width and 0 from r_cut on, and its slope, 1/Å."""
    if r >= r_cut:
        return 0.0, 0.0
    x = (r - r_cut) / width + 1.0
    if x <= 0.0:
        return 1.0, 0.0
    return 0.5 * (1.0 + np.cos(np.pi * x)), -0.5 * np.pi / width * np.sin(np.pi * x)


@njit(cache=True)
def _radial(of: Expansion, r: float, value: Array, slope: Array) -> None:
    """R_nl f_cut and its derivative by r, ((L + 1) N,)."""
    evaluate_radial(of.table, r, of.r_cut, value, slope)
    f, df = cutoff(r, of.r_cut, of.width)
    for c in range(len(value)):
        slope[c] = slope[c] * f + value[c] * df
        value[c] *= f


@njit(cache=True)
def _weigh(l_max: int, y: Array, dy: Array) -> None:
    """Scale the parts of the harmonics of m > 0 by sqrt(2), since they stand for m < 0 as well."""
    for ell in range(1, l_max + 1):
        for row in range(ell * ell + 1, (ell + 1) ** 2):
            y[row] *= np.sqrt(2.0)
            for axis in range(3):
                dy[row, axis] *= np.sqrt(2.0)


@njit(cache=True)
def expand(
    of: Expansion,
    first: Integers,
    others: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    n_species: int,
) -> Array:
    """Expansion coefficients c, (n_atoms, S N, (L + 1)^2).

    Parameters
    ----------
    first, others, vectors, distances : neighbours, see ``Neighbours``. species : (n_atoms,).
    """
    n_max, rows = of.n_max, (of.l_max + 1) ** 2
    c = np.zeros((len(species), n_species * n_max, rows))
    value, slope = np.empty(of.table.shape[1]), np.empty(of.table.shape[1])
    p, dp = np.empty((of.l_max + 1, of.l_max + 1)), np.empty((of.l_max + 1, of.l_max + 1))
    y, dy = np.empty(rows), np.empty((rows, 3))
    for i in range(len(species)):
        for n in range(n_max):
            c[i, species[i] * n_max + n, 0] = of.centre[n]
        for pair in range(first[i], first[i + 1]):
            if distances[pair] >= of.r_cut:
                continue
            _radial(of, distances[pair], value, slope)
            evaluate_harmonics(of.l_max, vectors[pair] / distances[pair], p, dp, y, dy)
            _weigh(of.l_max, y, dy)
            start = species[others[pair]] * n_max
            for ell in range(of.l_max + 1):
                for n in range(n_max):
                    weight = value[ell * n_max + n]
                    for row in range(ell * ell, (ell + 1) ** 2):
                        c[i, start + n, row] += weight * y[row]
    return c


@njit(cache=True)
def power_spectra(c: Array, l_max: int) -> Array:
    """p of every atom, (n_atoms, A (A + 1) / 2 (L + 1)), the order of QUIP: l fastest, then b, then a."""
    n_atoms, channels = c.shape[0], c.shape[1]
    spectra = np.empty((n_atoms, channels * (channels + 1) // 2 * (l_max + 1)))
    for i in range(n_atoms):
        place = 0
        for a in range(channels):
            for b in range(a + 1):
                for ell in range(l_max + 1):
                    total = 0.0
                    for row in range(ell * ell, (ell + 1) ** 2):
                        total += c[i, a, row] * c[i, b, row]
                    spectra[i, place] = total * _factor(a, b, ell)
                    place += 1
    return spectra


@njit(cache=True)
def _factor(a: int, b: int, ell: int) -> float:
    return np.sqrt((1.0 if a == b else 2.0) / (2.0 * ell + 1.0))


@njit(cache=True)
def by_coefficients(c: Array, by_spectra: Array, l_max: int) -> Array:
    """Derivatives by c, like c, from those by p, (n_atoms, width)."""
    found = np.zeros_like(c)
    for i in range(c.shape[0]):
        place = 0
        for a in range(c.shape[1]):
            for b in range(a + 1):
                for ell in range(l_max + 1):
                    slope = by_spectra[i, place] * _factor(a, b, ell)
                    for row in range(ell * ell, (ell + 1) ** 2):
                        found[i, a, row] += slope * c[i, b, row]
                        found[i, b, row] += slope * c[i, a, row]
                    place += 1
    return found


@njit(cache=True)
def add_forces(
    of: Expansion,
    by_c: Array,
    first: Integers,
    others: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    forces: Array,
    strain: Array,
) -> None:
    """Add forces (n_atoms, 3) and the strain derivative (3, 3) of an energy whose derivatives by c are ``by_c``."""
    n_max, rows = of.n_max, (of.l_max + 1) ** 2
    value, slope = np.empty(of.table.shape[1]), np.empty(of.table.shape[1])
    p, dp = np.empty((of.l_max + 1, of.l_max + 1)), np.empty((of.l_max + 1, of.l_max + 1))
    y, dy = np.empty(rows), np.empty((rows, 3))
    by_y, pull = np.empty(rows), np.empty(3)
    for i in range(len(species)):
        for pair in range(first[i], first[i + 1]):
            r, j = distances[pair], others[pair]
            if r >= of.r_cut:
                continue
            _radial(of, r, value, slope)
            evaluate_harmonics(of.l_max, vectors[pair] / r, p, dp, y, dy)
            _weigh(of.l_max, y, dy)
            start = species[j] * n_max
            by_y[:] = 0.0
            by_r = 0.0
            for ell in range(of.l_max + 1):
                for n in range(n_max):
                    channel = ell * n_max + n
                    along = 0.0
                    for row in range(ell * ell, (ell + 1) ** 2):
                        by_y[row] += by_c[i, start + n, row] * value[channel]
                        along += by_c[i, start + n, row] * y[row]
                    by_r += along * slope[channel]
            for axis in range(3):
                pull[axis] = by_r * vectors[pair, axis] / r
            for row in range(rows):
                for axis in range(3):
                    pull[axis] += by_y[row] * dy[row, axis] / r
            _add(pull, vectors[pair], i, j, forces, strain)


@njit(cache=True)
def add_pairs(
    of: Pairs,
    first: Integers,
    others: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    energies: Array,
    forces: Array,
    strain: Array,
) -> None:
    """Add the energies (n_atoms,) eV, forces (n_atoms, 3) and strain derivative (3, 3) of pairs."""
    value, slope, pull = np.empty(of.table.shape[1]), np.empty(of.table.shape[1]), np.empty(3)
    for i in range(len(species)):
        for pair in range(first[i], first[i + 1]):
            r, j = distances[pair], others[pair]
            if r >= of.r_cut:
                continue
            evaluate_radial(of.table, r, of.r_cut, value, slope)
            f, df = cutoff(r, of.r_cut, of.width)
            kind = of.kind[species[i], species[j]]
            energies[i] += value[kind] * f
            by_r = slope[kind] * f + value[kind] * df
            for axis in range(3):
                pull[axis] = by_r * vectors[pair, axis] / r
            _add(pull, vectors[pair], i, j, forces, strain)


@njit(cache=True)
def _add(pull: Array, vector: Array, i: int, j: int, forces: Array, strain: Array) -> None:
    """Add the derivative ``pull`` of an energy by the vector from atom i to atom j."""
    for a in range(3):
        forces[i, a] += pull[a]
        forces[j, a] -= pull[a]
        for b in range(3):
            strain[a, b] += vector[a] * pull[b]
