"""Compiled derivatives of symmetry functions by the vectors to the neighbours.

With the vectors R1, R2 from an atom to two neighbours, r3 = |R2 - R1|, the envelope E = s1 s2 s3 and the turn P(c):

    dG/dR1 = A1 R1 + B R2,   dG/dR2 = A2 R2 + B R1,
    A1 = P (s1'/r1 s2 s3 + s1 s2 s3'/r3) - P' E c / r1²,   B = P' E / (r1 r2) - P s1 s2 s3'/r3.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.bases.acsf_kernel import (
    Functions,
    angle_factors,
    opposite_sides,
    side,
    sides,
    triangle,
    within,
)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@njit(cache=True, fastmath={"contract"})
def atom_gradients(of: Functions, vectors: Array, distances: Array, species: Integers, out: Array) -> None:
    """Derivatives of all functions of one atom by each vector to a neighbour, into ``out`` (n, 3, n_slots).

    The other arguments are those of ``acsf_kernel.atom_values``.
    """
    n = distances.shape[0]
    shape, alpha, radial, envelopes, turns, pairs, segments = (
        of.shape, of.alpha, of.radial, of.envelopes, of.turns, of.pairs, of.segments
    )  # fmt: skip
    along = np.zeros((n, of.n_slots))
    across = np.zeros((n, 3, of.n_slots))
    for j in range(n):
        for s in range(of.radial_start[species[j]], of.radial_start[species[j] + 1]):
            eta, r_s, r_cut = radial[s]
            along[j, s] = side(distances[j], eta, r_s, r_cut, shape, alpha)[1]
    near = within(distances, of.reach)
    value, slope = sides(distances[near], envelopes, shape, alpha)
    far, far_slope = np.empty(envelopes.shape[0]), np.empty(envelopes.shape[0])
    turn, turn_slope = np.empty(turns.shape[0]), np.empty(turns.shape[0])
    for a in range(near.shape[0]):
        j = near[a]
        for b in range(a + 1, near.shape[0]):
            k = near[b]
            begin, end, first_turn, last_turn = pairs[species[j], species[k]]
            dot, opposite = triangle(vectors[j], vectors[k])
            if begin == end or (of.all_narrow and opposite >= of.reach):
                continue
            cosine = dot / (distances[j] * distances[k])
            angle_factors(cosine, turns, first_turn, last_turn, turn, turn_slope)
            opposite_sides(opposite, envelopes, shape, alpha, far, far_slope)
            x1, y1, z1 = vectors[j]
            x2, y2, z2 = vectors[k]
            by_product = 1.0 / (distances[j] * distances[k])
            by_first, by_second = cosine / distances[j] ** 2, cosine / distances[k] ** 2
            for c in range(begin, end):
                e, t, s, length = segments[c]
                envelope = value[a, e] * value[b, e] * far[e]
                h1, h2 = slope[a, e] * value[b, e] * far[e], value[a, e] * slope[b, e] * far[e]
                h3 = value[a, e] * value[b, e] * far_slope[e]
                for q in range(length):
                    p, dp = turn[t + q], turn_slope[t + q] * envelope
                    mixed = dp * by_product - p * h3
                    along[j, s + q] += p * (h1 + h3) - dp * by_first
                    along[k, s + q] += p * (h2 + h3) - dp * by_second
                    across[j, 0, s + q] += mixed * x2
                    across[j, 1, s + q] += mixed * y2
                    across[j, 2, s + q] += mixed * z2
                    across[k, 0, s + q] += mixed * x1
                    across[k, 1, s + q] += mixed * y1
                    across[k, 2, s + q] += mixed * z1
    for j in range(n):
        for axis in range(3):
            for s in range(of.n_slots):
                out[j, axis, s] = across[j, axis, s] + along[j, s] * vectors[j, axis]


@njit(cache=True, fastmath={"contract"})
def atom_contraction(
    of: Functions, weights: Array, vectors: Array, distances: Array, species: Integers, out: Array
) -> None:
    """Derivatives of sum_s weights[s] G_s of one atom by each vector to a neighbour, into ``out`` (n, 3).

    weights: (n_slots,). For molecular dynamics: nothing is kept per function.
    """
    n = distances.shape[0]
    shape, alpha, radial, envelopes, turns, pairs, segments = (
        of.shape, of.alpha, of.radial, of.envelopes, of.turns, of.pairs, of.segments
    )  # fmt: skip
    along = np.zeros(n)
    out[:] = 0.0
    for j in range(n):
        for s in range(of.radial_start[species[j]], of.radial_start[species[j] + 1]):
            eta, r_s, r_cut = radial[s]
            along[j] += weights[s] * side(distances[j], eta, r_s, r_cut, shape, alpha)[1]
    near = within(distances, of.reach)
    value, slope = sides(distances[near], envelopes, shape, alpha)
    far, far_slope = np.empty(envelopes.shape[0]), np.empty(envelopes.shape[0])
    turn, turn_slope = np.empty(turns.shape[0]), np.empty(turns.shape[0])
    for a in range(near.shape[0]):
        j = near[a]
        for b in range(a + 1, near.shape[0]):
            k = near[b]
            begin, end, first_turn, last_turn = pairs[species[j], species[k]]
            dot, opposite = triangle(vectors[j], vectors[k])
            if begin == end or (of.all_narrow and opposite >= of.reach):
                continue
            cosine = dot / (distances[j] * distances[k])
            angle_factors(cosine, turns, first_turn, last_turn, turn, turn_slope)
            opposite_sides(opposite, envelopes, shape, alpha, far, far_slope)
            # sums over the functions of p (h1 + h3), p (h2 + h3), p h3 and p' envelope
            first_sum, second_sum, far_sum, turn_sum = 0.0, 0.0, 0.0, 0.0
            for c in range(begin, end):
                e, t, s, length = segments[c]
                p, dp = 0.0, 0.0
                for q in range(length):
                    p += weights[s + q] * turn[t + q]
                    dp += weights[s + q] * turn_slope[t + q]
                first_sum += p * slope[a, e] * value[b, e] * far[e]
                second_sum += p * value[a, e] * slope[b, e] * far[e]
                far_sum += p * value[a, e] * value[b, e] * far_slope[e]
                turn_sum += dp * value[a, e] * value[b, e] * far[e]
            mixed = turn_sum / (distances[j] * distances[k]) - far_sum
            along[j] += first_sum + far_sum - turn_sum * cosine / distances[j] ** 2
            along[k] += second_sum + far_sum - turn_sum * cosine / distances[k] ** 2
            for axis in range(3):
                out[j, axis] += mixed * vectors[k, axis]
                out[k, axis] += mixed * vectors[j, axis]
    for j in range(n):
        for axis in range(3):
            out[j, axis] += along[j] * vectors[j, axis]


@njit(cache=True)
def count_partners(first: Integers, others: Integers, n_atoms: int) -> Integers:
    """How many different atoms, itself included, the functions of each atom depend on, (n_atoms,)."""
    seen = np.full(n_atoms, -1)
    counts = np.ones(n_atoms, dtype=np.int64)
    for i in range(n_atoms):
        seen[i] = i
        for pair in range(first[i], first[i + 1]):
            if seen[others[pair]] != i:
                seen[others[pair]] = i
                counts[i] += 1
    return counts


@njit(cache=True)
def merge_images(
    centre: int,
    others: Integers,
    vectors: Array,
    by_vector: Array,
    moved: Integers,
    merged: Array,
    strain: Array,
) -> None:
    """Derivatives of one atom's functions by positions and strain, from those by the vectors to its neighbours.

    others: (n,) atom numbers of the neighbours. vectors: (n, 3), Å. by_vector: (n, 3, m).
    moved: (n_partners,) filled with the atoms that may be moved; merged: (n_partners, 3, m) filled, 1/Å.
    strain: (6, m) filled, Voigt xx yy zz yz xz xy with eps_yz = eps_zy = e_yz / 2.
    """
    merged[:] = 0.0
    strain[:] = 0.0
    moved[0] = centre
    found = 1
    for n in range(others.shape[0]):
        row = 0
        while row < found and moved[row] != others[n]:
            row += 1
        if row == found:
            moved[row] = others[n]
            found += 1
        x, y, z = vectors[n]
        for s in range(by_vector.shape[2]):
            dx, dy, dz = by_vector[n, 0, s], by_vector[n, 1, s], by_vector[n, 2, s]
            merged[row, 0, s] += dx
            merged[row, 1, s] += dy
            merged[row, 2, s] += dz
            merged[0, 0, s] -= dx
            merged[0, 1, s] -= dy
            merged[0, 2, s] -= dz
            strain[0, s] += x * dx
            strain[1, s] += y * dy
            strain[2, s] += z * dz
            # a function that no rotation changes has a symmetric sum of vector times derivative: one half serves
            strain[3, s] += y * dz
            strain[4, s] += x * dz
            strain[5, s] += x * dy


@njit(cache=True)
def add_gradients(
    of: Functions,
    centres: Integers,
    first: Integers,
    others: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    start: Integers,
    moved: Integers,
    merged: Array,
    strain: Array,
) -> None:
    """``merge_images`` of the atoms ``centres``, functions by slot; atom i fills the rows from ``start[i]`` on."""
    for i in centres:
        begin, end = first[i], first[i + 1]
        by_vector = np.empty((end - begin, 3, of.n_slots))
        near = vectors[begin:end]
        atom_gradients(of, near, distances[begin:end], species[begin:end], by_vector)
        rows = slice(start[i], start[i + 1])
        merge_images(i, others[begin:end], near, by_vector, moved[rows], merged[rows], strain[i])
