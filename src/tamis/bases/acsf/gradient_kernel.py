"""Compiled derivatives of symmetry functions by the vectors to the neighbours.

With the vectors R1, R2 from an atom to two neighbours, r3 = |R2 - R1|, the envelope E = s1 s2 s3 and the turn P(c):

    dG/dR1 = A1 R1 + B R2,   dG/dR2 = A2 R2 + B R1,
    A1 = P (s1'/r1 s2 s3 + s1 s2 s3'/r3) - P' E c / r1²,   B = P' E / (r1 r2) - P s1 s2 s3'/r3.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.bases.acsf.kernel import Functions, Triangles, side, sides, triangles

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@njit(cache=True, fastmath={"contract"})
def atom_gradients(
    of: Functions, found: Triangles, vectors: Array, distances: Array, species: Integers, out: Array
) -> None:
    """Derivatives of all functions of one atom by each vector to a neighbour, into ``out`` (n, 3, n_slots).

    vectors: (n, 3) to the neighbours, Å; the other arguments are those of ``atom_values``.
    """
    n = distances.shape[0]
    shape, alpha, radial, envelopes, kinds, segments = (
        of.shape, of.alpha, of.radial, of.envelopes, of.kinds, of.segments
    )  # fmt: skip
    along = np.zeros((n, of.n_slots))
    across = np.zeros((n, 3, of.n_slots))
    for j in range(n):
        for s in range(of.radial_start[species[j]], of.radial_start[species[j] + 1]):
            eta, r_s, r_cut = radial[s, 0], radial[s, 1], radial[s, 2]
            along[j, s] = side(distances[j], eta, r_s, r_cut, shape, alpha)[1]
    start, corners, cosines, turn, turn_slope, far, far_slope = found
    value, slope = sides(distances, envelopes, shape, alpha)
    p, dp = np.empty(turn.shape[0]), np.empty(turn.shape[0])
    for kind in range(kinds.shape[0]):
        for row in range(start[kind], start[kind + 1]):
            j, k = corners[row, 0], corners[row, 1]
            x1, y1, z1 = vectors[j, 0], vectors[j, 1], vectors[j, 2]
            x2, y2, z2 = vectors[k, 0], vectors[k, 1], vectors[k, 2]
            by_product = 1.0 / (distances[j] * distances[k])
            by_first, by_second = cosines[row] / distances[j] ** 2, cosines[row] / distances[k] ** 2
            for t in range(turn.shape[0]):
                p[t], dp[t] = turn[t, row], turn_slope[t, row]
            for c in range(kinds[kind, 2], kinds[kind, 3]):
                e, t, s, length = segments[c, 0], segments[c, 1], segments[c, 2], segments[c, 3]
                envelope = value[j, e] * value[k, e] * far[e, row]
                h1, h2 = slope[j, e] * value[k, e] * far[e, row], value[j, e] * slope[k, e] * far[e, row]
                h3 = value[j, e] * value[k, e] * far_slope[e, row]
                for q in range(length):
                    bend = dp[t + q] * envelope
                    mixed = bend * by_product - p[t + q] * h3
                    along[j, s + q] += p[t + q] * (h1 + h3) - bend * by_first
                    along[k, s + q] += p[t + q] * (h2 + h3) - bend * by_second
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
def _add_scaled(total: Array, vector: Array, factor: float, begin: int, end: int) -> None:
    for row in range(begin, end):
        total[row] += factor * vector[row]


@njit(cache=True, fastmath={"contract"})
def atom_contraction(
    of: Functions,
    weights: Array,
    found: Triangles,
    vectors: Array,
    distances: Array,
    species: Integers,
    out: Array,
) -> None:
    """Derivatives of sum_s weights[s] G_s of one atom by each vector to a neighbour, into ``out`` (n, 3).

    weights: (n_slots,). For molecular dynamics: no array has an entry for each function and neighbour.
    """
    n = distances.shape[0]
    shape, alpha, radial, envelopes, kinds, segments = (
        of.shape, of.alpha, of.radial, of.envelopes, of.kinds, of.segments
    )  # fmt: skip
    along = np.zeros(n)
    for j in range(n):
        for axis in range(3):
            out[j, axis] = 0.0
        for s in range(of.radial_start[species[j]], of.radial_start[species[j] + 1]):
            eta, r_s, r_cut = radial[s, 0], radial[s, 1], radial[s, 2]
            along[j] += weights[s] * side(distances[j], eta, r_s, r_cut, shape, alpha)[1]
    start, corners, cosines, turn, turn_slope, far, far_slope = found
    value, slope = sides(distances, envelopes, shape, alpha)
    p, dp = np.empty(corners.shape[0]), np.empty(corners.shape[0])
    # sums over the functions of p (h1 + h3), p (h2 + h3), p h3 and p' envelope, for every triangle
    first_sum, second_sum = np.zeros(corners.shape[0]), np.zeros(corners.shape[0])
    far_sum, bend_sum = np.zeros(corners.shape[0]), np.zeros(corners.shape[0])
    for kind in range(kinds.shape[0]):
        begin, end = start[kind], start[kind + 1]
        for c in range(kinds[kind, 2], kinds[kind, 3]):
            e, t, s, length = segments[c, 0], segments[c, 1], segments[c, 2], segments[c, 3]
            for row in range(begin, end):
                p[row], dp[row] = 0.0, 0.0
            for q in range(length):
                _add_scaled(p, turn[t + q], weights[s + q], begin, end)
                _add_scaled(dp, turn_slope[t + q], weights[s + q], begin, end)
            for row in range(begin, end):
                j, k = corners[row, 0], corners[row, 1]
                first_sum[row] += p[row] * slope[j, e] * value[k, e] * far[e, row]
                second_sum[row] += p[row] * value[j, e] * slope[k, e] * far[e, row]
                far_sum[row] += p[row] * value[j, e] * value[k, e] * far_slope[e, row]
                bend_sum[row] += dp[row] * value[j, e] * value[k, e] * far[e, row]
    for row in range(start[-1]):
        j, k = corners[row, 0], corners[row, 1]
        mixed = bend_sum[row] / (distances[j] * distances[k]) - far_sum[row]
        along[j] += first_sum[row] + far_sum[row] - bend_sum[row] * cosines[row] / distances[j] ** 2
        along[k] += second_sum[row] + far_sum[row] - bend_sum[row] * cosines[row] / distances[k] ** 2
        for axis in range(3):
            out[j, axis] += mixed * vectors[k, axis]
            out[k, axis] += mixed * vectors[j, axis]
    for j in range(n):
        for axis in range(3):
            out[j, axis] += along[j] * vectors[j, axis]


@njit(cache=True)
def count_partners(first: Integers, others: Integers, n_atoms: int) -> Integers:
    """How many different atoms, itself included, the functions of each atom depend on, (n_atoms,)."""
    seen, counts = np.empty(n_atoms, dtype=np.int64), np.empty(n_atoms, dtype=np.int64)
    for i in range(n_atoms):
        seen[i] = -1
    for i in range(n_atoms):
        seen[i], counts[i] = i, 1
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
    for s in range(by_vector.shape[2]):
        for row in range(merged.shape[0]):
            merged[row, 0, s], merged[row, 1, s], merged[row, 2, s] = 0.0, 0.0, 0.0
        for v in range(6):
            strain[v, s] = 0.0
    moved[0] = centre
    found = 1
    for n in range(others.shape[0]):
        row = 0
        while row < found and moved[row] != others[n]:
            row += 1
        if row == found:
            moved[row] = others[n]
            found += 1
        x, y, z = vectors[n, 0], vectors[n, 1], vectors[n, 2]
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
            # functions are invariant under rotation, so the sum of vector times derivative is symmetric
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
    for number in range(centres.shape[0]):
        i = centres[number]
        begin, end = first[i], first[i + 1]
        by_vector = np.empty((end - begin, 3, of.n_slots))
        near, lengths, kinds = vectors[begin:end], distances[begin:end], species[begin:end]
        atom_gradients(of, triangles(of, near, lengths, kinds), near, lengths, kinds, by_vector)
        low, high = start[i], start[i + 1]
        merge_images(i, others[begin:end], near, by_vector, moved[low:high], merged[low:high], strain[i])
