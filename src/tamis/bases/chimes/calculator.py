"""ChIMES potentials as an ASE calculator: coefficients are put into one table a kind of cluster before the loops."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tamis.bases.calculator import NeighbourCalculator
from tamis.bases.chimes.clusters import ClusterType, Indices, clusters_by_kind, without_range
from tamis.bases.chimes.functions import ChimesFunctions
from tamis.bases.chimes.kernel import Array, outer_exponentials, slot_functions
from tamis.bases.neighbours import Neighbours


class ChimesCalculator(NeighbourCalculator):
    """Energy, forces and stress as chimes_calculator gives them, penalty included.

    The atoms of a cluster have equal shares of its energy, as in the rows of the basis.

    Parameters
    ----------
    basis : the functions and the penalty.
    coefficients : (n_features,) eV. offsets : (n_elements,) energies of the free atoms, eV.
    """

    def __init__(self, basis: ChimesFunctions, coefficients: Array, offsets: Array) -> None:
        super().__init__(basis.elements, offsets, basis.r_cut, half=True)
        self.basis = basis
        self._tables = {
            kind.atoms: _coefficient_table(kind, coefficients[kind.column : kind.column + len(kind.orbits)])
            for kind in basis.types
        }

    def contributions(self, species: Indices, near: Neighbours) -> tuple[Array, Array, Array]:
        """Kind by kind of cluster."""
        basis, n_atoms = self.basis, len(species)
        energies, forces, strain = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3))
        for kind, members, places in clusters_by_kind(species, near, basis.types, basis.elements):
            if kind.orbits:
                add_energies(
                    members, places, kind.limits, basis.tersoff, kind.n_powers, self._tables[kind.atoms],
                    energies, forces, strain,
                )  # fmt: skip
            if len(kind.atoms) == 2 and not without_range(kind.limits):
                reach = kind.limits[0, 0] + basis.penalty_distance
                add_penalties(members, places, reach, basis.penalty_scaling, energies, forces, strain)
        return energies, forces, strain


def _coefficient_table(kind: ClusterType, coefficients: Array) -> Array:
    """The coefficient of each product, (powers of slot 0, of the last slots, of the slots 1 .. n_slots // 2)."""
    n_slots = len(kind.limits)
    table = np.zeros((kind.n_powers,) * n_slots)
    powers = np.array([p for orbit in kind.orbits for p in orbit], dtype=np.int64).reshape(-1, n_slots)
    table[tuple(powers.T)] = np.repeat(coefficients, np.diff(kind.starts))
    table = table.reshape(kind.n_powers, kind.n_powers ** (n_slots // 2), -1)
    return np.ascontiguousarray(table.transpose(0, 2, 1))


@njit(cache=True)
def _add_pair(arms: Array, row: int, pull: float, i: int, j: int, forces: Array, strain: Array) -> None:
    """Add ``pull`` = (dE/dr) / r of the atoms i and j, arms[row] apart, to forces and strain derivative (3, 3)."""
    for a in range(3):
        component = pull * arms[row, a]
        forces[i, a] += component
        forces[j, a] -= component
        for b in range(3):
            strain[a, b] += component * arms[row, b]


@njit(cache=True)
def _contract_first(table: Array, g: Array, dg: Array, form: Array, slope_form: Array) -> None:
    """form = sum over powers of g[power] table[power], and the same with dg."""
    for row in range(form.shape[0]):
        for column in range(form.shape[1]):
            form[row, column], slope_form[row, column] = 0.0, 0.0
    for power in range(len(table)):
        for row in range(form.shape[0]):
            for column in range(form.shape[1]):
                form[row, column] += g[power] * table[power, row, column]
                slope_form[row, column] += dg[power] * table[power, row, column]


@njit(cache=True, fastmath={"reassoc", "contract"})
def _apply(
    form: Array, slope_form: Array, upper: Array, lower: Array, by_upper: Array, by_lower: Array
) -> float:
    """by_upper = lower[0] @ form, by_lower = form @ upper[0]; returns lower[0] @ slope_form @ upper[0].

    Sums may be reordered, so that they become vector operations.
    """
    for column in range(len(by_upper)):
        by_upper[column] = 0.0
    first_slope = 0.0
    for row in range(lower.shape[1]):
        total, slope, weight = 0.0, 0.0, lower[0, row]
        for column in range(upper.shape[1]):
            total += form[row, column] * upper[0, column]
            slope += slope_form[row, column] * upper[0, column]
            by_upper[column] += form[row, column] * weight
        by_lower[row] = total
        first_slope += slope * weight
    return first_slope


@njit(cache=True, fastmath={"reassoc", "contract"})
def _scalar_product(vector: Array, table: Array, row: int) -> float:
    total = 0.0
    for place in range(len(vector)):
        total += vector[place] * table[row, place]
    return total


@njit(cache=True)
def _products(g: Array, dg: Array, n_powers: int, begin: int, end: int, table: Array) -> None:
    """``half_products`` turned by 90 degrees, (1 + slots, products): here each of its columns is read as a whole."""
    table[0, 0] = 1.0
    filled = 1
    for slot in range(begin, end):
        row = 1 + slot - begin
        # from the last product to the first, because one is written over only after those made of it
        for code in range(filled - 1, -1, -1):
            first = code * n_powers
            for q in range(row):
                factor = table[q, code]
                if q == 0:
                    for power in range(n_powers):
                        table[row, first + power] = factor * dg[slot, power]
                for power in range(n_powers):
                    table[q, first + power] = factor * g[slot, power]
        filled *= n_powers


@njit(cache=True)
def add_energies(
    members: Indices,
    places: Array,
    limits: Array,
    tersoff: float,
    n_powers: int,
    table: Array,
    energies: Array,
    forces: Array,
    strain: Array,
) -> None:
    """Add the energies, forces and strain derivative of all clusters of one kind.

    With the functions of the first slot summed out, the energy of a cluster is a bilinear form of the products over
    the two halves of its other slots (``_products``). Clusters come sorted, so that most have the first slot of
    the one before, and its form. The form applied to either half gives every derivative as a scalar product.

    Parameters
    ----------
    members : (n_clusters, size) atom numbers. places : (n_clusters, size, 3) Å.
    limits : (n_slots, 3) s_min, s_max, Morse length, Å.
    tersoff : smoothed fraction of the cutoff; 0 for the cubic one.
    n_powers : powers run from 0 to n_powers - 1.
    table : coefficients, eV (``_coefficient_table``).
    energies : (n_atoms,) eV. forces : (n_atoms, 3) eV/Å. strain : (3, 3) eV.
    """
    size, n_slots = members.shape[1], len(limits)
    # no literal is passed on, for which numba would compile a function again
    begin_lower = 1 + n_slots // 2
    begin_upper = begin_lower - n_slots // 2
    n_lower, n_upper = table.shape[1:]
    g, dg = np.empty((n_slots, max(2, n_powers))), np.empty((n_slots, max(2, n_powers)))
    upper, lower = np.empty((begin_lower, n_upper)), np.empty((1 + n_slots - begin_lower, n_lower))
    by_upper, by_lower = np.empty(n_upper), np.empty(n_lower)
    form, slope_form = np.empty((n_lower, n_upper)), np.empty((n_lower, n_upper))
    arms, distances, slopes = np.empty((n_slots, 3)), np.empty(n_slots), np.empty(n_slots)
    low = outer_exponentials(limits)
    first_distance = -1.0
    for cluster in range(len(members)):
        slot = -1
        for m in range(size):
            for k in range(m + 1, size):
                slot += 1
                square = 0.0
                for c in range(3):
                    arms[slot, c] = places[cluster, k, c] - places[cluster, m, c]
                    square += arms[slot, c] ** 2
                r = math.sqrt(square)
                distances[slot] = r
                if slot > 0 or r != first_distance:
                    slot_functions(r, slot, limits, low, tersoff, g, dg)
                    if slot == 0:
                        _contract_first(table, g[0], dg[0], form, slope_form)
                        first_distance = r
        _products(g, dg, n_powers, begin_upper, begin_lower, upper)
        _products(g, dg, n_powers, begin_lower, n_slots, lower)
        slopes[0] = _apply(form, slope_form, upper, lower, by_upper, by_lower)
        for row in range(lower.shape[0]):
            product = _scalar_product(by_lower, lower, row)
            if row > 0:
                slopes[begin_lower + row - 1] = product
                continue
            for m in range(size):
                energies[members[cluster, m]] += product / size
        for slot in range(1, begin_lower):
            slopes[slot] = _scalar_product(by_upper, upper, slot)
        slot = -1
        for m in range(size):
            for k in range(m + 1, size):
                slot += 1
                pull = slopes[slot] / distances[slot]
                _add_pair(arms, slot, pull, members[cluster, m], members[cluster, k], forces, strain)


@njit(cache=True)
def add_penalties(
    members: Indices,
    places: Array,
    reach: float,
    scaling: float,
    energies: Array,
    forces: Array,
    strain: Array,
) -> None:
    """Add the energy scaling (reach - r)^3, eV, of all pairs nearer than ``reach``, Å, its forces and strain."""
    arms = np.empty((len(members), 3))
    for row in range(len(members)):
        for c in range(3):
            arms[row, c] = places[row, 1, c] - places[row, 0, c]
        r = math.sqrt(arms[row, 0] ** 2 + arms[row, 1] ** 2 + arms[row, 2] ** 2)
        depth = reach - r
        if depth > 0.0:
            i, j = members[row, 0], members[row, 1]
            energies[i] += 0.5 * scaling * depth**3
            energies[j] += 0.5 * scaling * depth**3
            _add_pair(arms, row, -3.0 * scaling * depth**2 / r, i, j, forces, strain)
