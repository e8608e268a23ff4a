"""Compiled loops of the ChIMES basis: enumerate clusters of atoms, evaluate products of Chebyshev polynomials.

A cluster of n atoms has one slot for each of its n (n - 1) / 2 pairs. A basis function is a sum of products, one
factor per slot. The slots are split into two halves (``CUT``): the products over each half are tabled once for a
cluster, so that a term of the sum costs two lookups instead of a product over all slots and its derivatives.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

INNER_LENGTH = 0.01
"""Å; how fast a polynomial levels off inside s_min, fixed in chimes_calculator and chimes_lsq."""
MOST_CLUSTERS = 3_000_000
"""Of one size in one structure; so many take half a GiB. A hundred atoms of a metal have some ten thousand."""


@njit(cache=True)
def smoothing(r: float, s_max: float, tersoff: float) -> tuple[float, float]:
    """Cutoff function and its derivative at r < s_max; ``tersoff`` is the smoothed fraction, 0 means cubic.

    Cubic: (1 - r/s_max)^3 (Lindsey et al., J. Chem. Theory Comput. 13, 6222 (2017)).
    Tersoff: 1 up to d = s_max (1 - fraction), then half a cosine wave down to 0 at s_max.
    """
    if tersoff == 0.0:
        rest = 1.0 - r / s_max
        return rest**3, -3.0 * rest**2 / s_max
    width = s_max * tersoff
    phase = math.pi * (r - s_max + width) / width
    if phase < 0.0:
        return 1.0, 0.0
    return 0.5 + 0.5 * math.cos(phase), -0.5 * math.sin(phase) * math.pi / width


@njit(cache=True)
def outer_exponentials(limits: Array) -> Array:
    """exp((s_min - s_max) / Morse length) of each slot; ``limits`` is (n_slots, 3), Å."""
    low = np.empty(len(limits))
    for slot in range(len(limits)):
        low[slot] = math.exp((limits[slot, 0] - limits[slot, 1]) / limits[slot, 2])
    return low


@njit(cache=True, fastmath={"contract"})
def slot_functions(
    r: float, slot: int, limits: Array, low: Array, tersoff: float, g: Array, dg: Array
) -> None:
    """Fill g[slot, n] = f_c(r) T_n(x(r)) and dg[slot, n] = its derivative by r, for n = 0 .. N - 1.

    ``limits`` (n_slots, 3) are s_min, s_max and the Morse length, Å; ``low`` is ``outer_exponentials(limits)``; g and
    dg are (n_slots, N). x runs from +1 at s_min to -1 at s_max and is linear in exp(-r / Morse length). Inside s_min,
    T_n is continued from its value and slope there, so that the slope dies off within ``INNER_LENGTH``.

    Whole arrays and a slot are taken, because making views of their rows would cost as much as all the rest.
    """
    s_min, s_max, morse = limits[slot, 0], limits[slot, 1], limits[slot, 2]
    n_powers = g.shape[1]
    if r >= s_max:
        for n in range(n_powers):
            g[slot, n] = 0.0
            dg[slot, n] = 0.0
        return
    # All exponentials divided by the one at s_min, so that a short Morse length cannot underflow to 0 / 0.
    now = math.exp((s_min - max(r, s_min)) / morse)
    scale = 2.0 / (1.0 - low[slot])
    x = (now - low[slot]) * scale - 1.0
    slope = -now * scale / morse
    fade, behind = 1.0, 0.0
    if r < s_min:
        fade = math.exp((r - s_min) / INNER_LENGTH)
        behind = INNER_LENGTH * (fade - 1.0) * slope
    fc, dfc = smoothing(r, s_max, tersoff)
    steepness = fc * fade * slope
    # T_n and U_{n-1} by the three-term recursion that both obey; dT_n/dx = n U_{n-1}.
    chebyshev, next_chebyshev, second, next_second = 1.0, x, 0.0, 1.0
    for n in range(n_powers):
        derivative = n * second
        value = chebyshev + behind * derivative
        g[slot, n] = fc * value
        dg[slot, n] = steepness * derivative + dfc * value
        chebyshev, next_chebyshev = next_chebyshev, 2.0 * x * next_chebyshev - chebyshev
        second, next_second = next_second, 2.0 * x * next_second - second


@njit(cache=True)
def half_products(g: Array, dg: Array, n_powers: int, end: int, n_slots: int, table: Array) -> None:
    """Products over the slots begin = end - n_slots .. end - 1 for every choice of their powers.

    Row c of ``table`` belongs to the powers that are the digits of c in base ``n_powers`` (first slot = highest
    digit): column 0 is the product, column 1 + q its derivative by the distance of slot begin + q. There are always
    four columns; those without a slot are zero.
    """
    begin = end - n_slots
    for q in range(4):
        table[0, q] = 1.0 if q <= n_slots else 0.0
    filled = 1
    for slot in range(begin, end):
        # From the last row to the first, because a row is written over only after its products are made.
        for code in range(filled - 1, -1, -1):
            for power in range(n_powers - 1, -1, -1):
                row = code * n_powers + power
                for q in range(4):
                    factor = dg[slot, power] if q == 1 + slot - begin else g[slot, power]
                    table[row, q] = table[code, q] * factor
        filled *= n_powers


@njit(cache=True)
def _distance(a: Array, b: Array) -> float:
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True)
def _list_clusters(size: int, first: Indices, vectors: Array, cutoff: float, found: Indices) -> int:
    """Count clusters and, unless it is empty, store the central atom and the neighbour rows of each in ``found``."""
    count, write = 0, len(found) > 0
    for i in range(len(first) - 1):
        for a in range(first[i], first[i + 1]):
            if size == 2:
                if write:
                    found[count, 0], found[count, 1] = i, a
                count += 1
                continue
            for b in range(a + 1, first[i + 1]):
                if _distance(vectors[a], vectors[b]) >= cutoff:
                    continue
                if size == 3:
                    if write:
                        found[count, 0], found[count, 1], found[count, 2] = i, a, b
                    count += 1
                    continue
                for c in range(b + 1, first[i + 1]):
                    if max(_distance(vectors[a], vectors[c]), _distance(vectors[b], vectors[c])) < cutoff:
                        if write:
                            found[count, 0], found[count, 1] = i, a
                            found[count, 2], found[count, 3] = b, c
                        count += 1
    return count


@njit(cache=True)
def clusters(
    size: int, first: Indices, neighbours: Indices, vectors: Array, cutoff: float
) -> tuple[Indices, Array]:
    """All sets of ``size`` (2, 3 or 4) atoms whose distances are all below ``cutoff``, each once per cell.

    Parameters
    ----------
    first : (n_atoms + 1,) neighbours of atom i are the rows first[i] .. first[i + 1] - 1 of the next two.
    neighbours : (n_pairs,) atom numbers. Every pair is listed once, at its smaller member in an order of all
        images of all atoms that lattice translations do not change: then every cluster is met exactly once, at
        its smallest member, also where a lattice vector is shorter than the cutoff.
    vectors : (n_pairs, 3) from the atom to the neighbour, Å.
    cutoff : Å.

    Returns
    -------
    members : (n_clusters, size) atom numbers.
    places : (n_clusters, size, 3) positions relative to the first member, Å.

    Raises
    ------
    MemoryError : there are more than ``MOST_CLUSTERS``.
    """
    found = np.empty((0, size), dtype=np.int64)
    n_clusters = _list_clusters(size, first, vectors, cutoff, found)
    if n_clusters > MOST_CLUSTERS:
        raise MemoryError
    found = np.empty((n_clusters, size), dtype=np.int64)
    _list_clusters(size, first, vectors, cutoff, found)
    members = np.empty((n_clusters, size), dtype=np.int64)
    places = np.zeros((n_clusters, size, 3))
    for row in range(n_clusters):
        members[row, 0] = found[row, 0]
        for m in range(1, size):
            members[row, m] = neighbours[found[row, m]]
            for c in range(3):
                places[row, m, c] = vectors[found[row, m], c]
    return members, places


@njit(cache=True)
def _sum_orbits(upper: Array, lower: Array, terms: Indices, starts: Indices, phi: Array) -> None:
    """phi[u] = sum over the terms of function u of (product over the upper slots) x (over the lower slots)."""
    for u in range(len(phi)):
        total = 0.0
        for t in range(starts[u], starts[u + 1]):
            total += upper[terms[t, 0], 0] * lower[terms[t, 1], 0]
        phi[u] = total


@njit(cache=True)
def _sum_orbits_with_slopes(
    upper: Array, lower: Array, terms: Indices, starts: Indices, n_upper: int, phi: Array, slopes: Array
) -> None:
    """As ``_sum_orbits``; slopes[slot, u] are the derivatives by the distances of the slots.

    The four columns of a half are written out (unused ones hold zeros): the compiler makes vector operations of it.
    """
    for u in range(len(phi)):
        a0 = a1 = a2 = a3 = b1 = b2 = b3 = 0.0
        for t in range(starts[u], starts[u + 1]):
            p, q = terms[t, 0], terms[t, 1]
            top, bottom = upper[p, 0], lower[q, 0]
            a0 += top * bottom
            a1 += upper[p, 1] * bottom
            a2 += upper[p, 2] * bottom
            a3 += upper[p, 3] * bottom
            b1 += lower[q, 1] * top
            b2 += lower[q, 2] * top
            b3 += lower[q, 3] * top
        phi[u] = a0
        upper_slopes, lower_slopes = (a1, a2, a3), (b1, b2, b3)
        for slot in range(len(slopes)):
            slopes[slot, u] = upper_slopes[slot] if slot < n_upper else lower_slopes[slot - n_upper]


@njit(cache=True)
def _add_derivatives(
    members: Indices, places: Array, slopes: Array, column: int, forces: Array, strain: Array, pull: Array
) -> None:
    """Add one cluster to the force rows and to the strain rows (xx yy zz yz xz xy).

    With the forces of a cluster known, dE/d(strain_ab) = - sum over its atoms of place_a force_b.
    """
    size = len(members)
    n = slopes.shape[1]
    for m in range(size):
        for c in range(3):
            for u in range(n):
                pull[m, c, u] = 0.0
    slot = 0
    for m in range(size):
        for k in range(m + 1, size):
            r = _distance(places[k], places[m])
            for c in range(3):
                cosine = (places[k, c] - places[m, c]) / r
                for u in range(n):
                    pull[m, c, u] += cosine * slopes[slot, u]
                    pull[k, c, u] -= cosine * slopes[slot, u]
            slot += 1
    for m in range(size):
        for c in range(3):
            row = forces[members[m], c]
            for u in range(n):
                row[column + u] += pull[m, c, u]
    for m in range(size):
        for v in range(6):
            a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[v]
            arm_a = places[m, a]
            if arm_a == 0.0:
                continue
            for u in range(n):
                strain[v, column + u] -= arm_a * pull[m, b, u]


@njit(cache=True)
def add_clusters(
    members: Indices,
    places: Array,
    limits: Array,
    tersoff: float,
    n_powers: int,
    terms: Indices,
    starts: Indices,
    column: int,
    values: Array,
    forces: Array,
    strain: Array,
) -> None:
    """Add clusters of one type to the rows.

    Parameters
    ----------
    members : (n_clusters, size) atom numbers, in the order of the type's elements.
    places : (n_clusters, size, 3) positions relative to any origin near the cluster, Å.
    limits : (n_slots, 3) s_min, s_max, Morse length of each slot, Å; slots in the order 01 02 03 12 13 23.
    tersoff : smoothed fraction of the Tersoff cutoff; 0 for the cubic one.
    n_powers : powers run from 0 to n_powers - 1.
    terms : (n_terms, 2) of each product: rows of the upper and of the lower half's table (``half_products``).
    starts : (n_functions + 1,) terms of function u are starts[u] .. starts[u + 1] - 1.
    column : of the type's first function.
    values : (n_atoms, K) is added to; each atom gets an equal share of its clusters.
    forces : (n_atoms, 3, K) is added to, minus the gradient, 1/Å; of length 0 where derivatives are not wanted.
    strain : (6, K) is added to.
    """
    size = members.shape[1]
    n_slots, n_functions = len(limits), len(starts) - 1
    n_upper = (n_slots + 1) // 2
    g, dg = np.empty((n_slots, max(2, n_powers))), np.empty((n_slots, max(2, n_powers)))
    upper = np.zeros((n_powers**n_upper, 4))
    lower = np.zeros((n_powers ** (n_slots - n_upper), 4))
    phi, slopes = np.empty(n_functions), np.empty((n_slots, n_functions))
    pull = np.empty((size, 3, n_functions))
    low = outer_exponentials(limits)
    for row in range(len(members)):
        slot = -1  # never passed as a literal, for which numba would compile the function again
        for m in range(size):
            for k in range(m + 1, size):
                slot += 1
                r = _distance(places[row, k], places[row, m])
                slot_functions(r, slot, limits, low, tersoff, g, dg)
        half_products(g, dg, n_powers, n_upper, n_upper, upper)
        half_products(g, dg, n_powers, n_slots, n_slots - n_upper, lower)
        if len(forces) == 0:
            _sum_orbits(upper, lower, terms, starts, phi)
        else:
            _sum_orbits_with_slopes(upper, lower, terms, starts, n_upper, phi, slopes)
            _add_derivatives(members[row], places[row], slopes, column, forces, strain, pull)
        for m in range(size):
            for u in range(n_functions):
                values[members[row, m], column + u] += phi[u] / size
