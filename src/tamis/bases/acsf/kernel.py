"""Compiled Behler-Parrinello symmetry functions of one atom, and the parts that their derivatives share.

Cutoff functions and symmetry functions: Behler, J. Chem. Phys. 134, 074106 (2011); Singraber, Behler and Dellago,
J. Chem. Theory Comput. 15, 1827 (2019) for the further cutoff functions and the numbering of the types.

An angular function is a product of an envelope, which depends on the three sides of the triangle, and a turn, which
depends on the angle. Many functions share one of the two, so each is listed once. The functions of a kind of triangle
(a pair of neighbour elements) come in segments: one envelope with a run of turns, in adjacent slots. Triangles are
sorted by kind, and inner loops run over triangles, so that they vectorise.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

Triangles = tuple[Integers, Integers, Array, Array, Array, Array, Array]

HARD, COS, TANHU, TANH, EXP, POLY1, POLY2, POLY3, POLY4 = range(9)


class Functions(NamedTuple):
    """The symmetry functions of one central element, by slot: radial ones first, then angular ones.

    shape, alpha: cutoff function (one of the constants above) and where it starts to fall.
    radial_start: (n_elements + 1,) the slots radial_start[e] .. radial_start[e + 1] - 1 count neighbours of element e.
    radial: (n_radial, 3) eta, 1/Å²; r_s, Å; r_cut, Å.
    envelopes: (n_envelopes, 4) 1 if the side jk enters (narrow) or 0; eta, 1/Å²; r_s, Å; r_cut, Å.
    turns: (n_turns, 2) lambda, zeta.
    kinds: (n_kinds, 6) of triangles: the two elements, first segment, end of segments, first turn, end of turns.
    segments: (n_segments, 4) envelope, first turn, first slot, number of turns.
    n_slots: number of functions.
    all_narrow: whether every envelope is narrow, so that triangles with a long side jk contribute nothing.
    reach: Å, the largest cutoff of angular functions.
    """

    shape: int
    alpha: float
    radial_start: Integers
    radial: Array
    envelopes: Array
    turns: Array
    kinds: Integers
    segments: Integers
    n_slots: int
    all_narrow: bool
    reach: float


@njit(cache=True, fastmath={"contract"})
def cutoff_function(r: float, r_cut: float, shape: int, alpha: float) -> tuple[float, float]:
    """Weight of a neighbour at distance ``r`` and its derivative by r.

    0 from ``r_cut`` on, 1 up to ``alpha * r_cut`` (alpha does not enter the tanh shapes).
    """
    if r >= r_cut:
        return 0.0, 0.0
    if shape == HARD:
        return 1.0, 0.0
    if shape in (TANHU, TANH):
        scale = 1.0 if shape == TANHU else math.tanh(1.0) ** -3
        t = math.tanh(1.0 - r / r_cut)
        return scale * t**3, -3.0 * scale * t**2 * (1.0 - t**2) / r_cut
    inner = alpha * r_cut
    if r < inner:
        return 1.0, 0.0
    width = r_cut - inner
    x = (r - inner) / width
    if shape == COS:
        return 0.5 * (math.cos(math.pi * x) + 1.0), -0.5 * math.pi * math.sin(math.pi * x) / width
    if shape == EXP:
        rest = 1.0 - x * x
        weight = math.exp(1.0 - 1.0 / rest)
        return weight, -2.0 * x * weight / (rest * rest * width)
    weight, slope = _smoothstep(1.0 - x, shape)
    return weight, -slope / width


@njit(cache=True, fastmath={"contract"})
def _smoothstep(y: float, shape: int) -> tuple[float, float]:
    """Polynomials from 0 at y = 0 to 1 at y = 1 with 1 to 4 vanishing derivatives at both ends; value and slope.

    They are written in y = 1 - x, the distance to the cutoff, because a polynomial in x loses all digits near zero.
    """
    z = y * (1.0 - y)
    if shape == POLY1:
        return y**2 * (3.0 - 2.0 * y), 6.0 * z
    if shape == POLY2:
        return y**3 * (10.0 + y * (-15.0 + 6.0 * y)), 30.0 * z**2
    if shape == POLY3:
        return y**4 * (35.0 + y * (-84.0 + y * (70.0 - 20.0 * y))), 140.0 * z**3
    return y**5 * (126.0 + y * (-420.0 + y * (540.0 + y * (-315.0 + 70.0 * y)))), 630.0 * z**4


@njit(cache=True, fastmath={"contract"})
def side(r: float, eta: float, r_s: float, r_cut: float, shape: int, alpha: float) -> tuple[float, float]:
    """exp(-eta (r - r_s)^2) fc(r) of one side of a triangle, and its derivative by r divided by r."""
    weight, slope = cutoff_function(r, r_cut, shape, alpha)
    if weight == 0.0:
        return 0.0, 0.0
    gauss = math.exp(-eta * (r - r_s) ** 2)
    return weight * gauss, (slope - 2.0 * eta * (r - r_s) * weight) * gauss / r


@njit(cache=True, fastmath={"contract"})
def sides(distances: Array, envelopes: Array, shape: int, alpha: float) -> tuple[Array, Array]:
    """``side`` of every neighbour (n,) for every envelope: values and slopes, (n, n_envelopes)."""
    values = np.empty((distances.shape[0], envelopes.shape[0]))
    slopes = np.empty_like(values)
    for a in range(distances.shape[0]):
        for e in range(envelopes.shape[0]):
            eta, r_s, r_cut = envelopes[e, 1], envelopes[e, 2], envelopes[e, 3]
            values[a, e], slopes[a, e] = side(distances[a], eta, r_s, r_cut, shape, alpha)
    return values, slopes


@njit(cache=True, fastmath={"contract"})
def opposite_sides(
    r: float, envelopes: Array, shape: int, alpha: float, values: Array, slopes: Array
) -> None:
    """The factor of the side jk of length ``r`` for every envelope, (n_envelopes,): 1 for wide envelopes."""
    last = -1.0
    weight, slope = 0.0, 0.0
    for e in range(envelopes.shape[0]):
        eta, r_s, r_cut = envelopes[e, 1], envelopes[e, 2], envelopes[e, 3]
        if envelopes[e, 0] == 0.0:
            values[e], slopes[e] = 1.0, 0.0
            continue
        if r_cut != last:
            last = r_cut
            weight, slope = cutoff_function(r, r_cut, shape, alpha)
        shift = r - r_s
        gauss = math.exp(-eta * shift * shift)
        values[e], slopes[e] = weight * gauss, (slope - 2.0 * eta * shift * weight) * gauss / r


@njit(cache=True, fastmath={"contract"})
def angle_factors(cosine: float, turns: Array, begin: int, end: int, values: Array, slopes: Array) -> None:
    """2^(1-zeta) (1 + lambda cos)^zeta and its derivative by the cosine, for the turns begin .. end - 1."""
    for t in range(begin, end):
        lambda_, zeta = turns[t, 0], turns[t, 1]
        values[t], slopes[t] = 0.0, 0.0
        half = 0.5 * (1.0 + lambda_ * cosine)
        if half > 0.0:
            power = _power(half, zeta - 1.0)
            values[t] = 2.0 * power * half
            slopes[t] = zeta * lambda_ * power


@njit(cache=True, fastmath={"contract"})
def _power(base: float, exponent: float) -> float:
    """base ** exponent for a base > 0, by squaring where the exponent is a whole number."""
    n = int(exponent)
    if n != exponent or n < 0:
        return base**exponent
    result = 1.0
    while n > 0:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result


@njit(cache=True, fastmath={"contract"})
def triangle(first: Array, second: Array) -> tuple[float, float]:
    """Scalar product of two vectors, and the distance of their ends."""
    dot, square = 0.0, 0.0
    for axis in range(3):
        dot += first[axis] * second[axis]
        square += (first[axis] - second[axis]) ** 2
    return dot, math.sqrt(square)


@njit(cache=True)
def within(distances: Array, reach: float) -> Integers:
    """Indices of the distances below ``reach``."""
    found = np.empty(distances.shape[0], dtype=np.int64)
    n = 0
    for j in range(distances.shape[0]):
        if distances[j] < reach:
            found[n] = j
            n += 1
    return found[:n]


@njit(cache=True, fastmath={"contract"})
def triangles(of: Functions, vectors: Array, distances: Array, species: Integers) -> Triangles:
    """All pairs of neighbours that angular functions count, with everything that depends only on the pair.

    vectors: (n, 3) to the neighbours, Å; distances: (n,) Å; species: (n,) index of the neighbour's element.

    Returns
    -------
    start : (n_kinds + 1,) where the pairs of each kind begin. corners : (n_pairs, 2) the neighbours.
    cosines : (n_pairs,) of the angle.
    turn, turn_slope : (n_turns, n_pairs), see ``angle_factors``; only the turns of the pair's kind are set.
    far, far_slope : (n_envelopes, n_pairs), see ``opposite_sides``.
    """
    envelopes, all_turns, kinds = of.envelopes, of.turns, of.kinds
    shape, alpha, reach, all_narrow = of.shape, of.alpha, of.reach, of.all_narrow
    near = within(distances, reach)
    n = near.shape[0] * (near.shape[0] - 1) // 2
    corners, cosines = np.empty((n, 2), dtype=np.int64), np.empty(n)
    turn, turn_slope = np.empty((all_turns.shape[0], n)), np.empty((all_turns.shape[0], n))
    far, far_slope = np.empty((envelopes.shape[0], n)), np.empty((envelopes.shape[0], n))
    start = np.zeros(kinds.shape[0] + 1, dtype=np.int64)
    row = 0
    for kind in range(kinds.shape[0]):
        one, other, first, last = kinds[kind, 0], kinds[kind, 1], kinds[kind, 4], kinds[kind, 5]
        for a in range(near.shape[0]):
            j = near[a]
            if species[j] != one and species[j] != other:
                continue
            partner = other if species[j] == one else one
            for b in range(a + 1, near.shape[0]):
                k = near[b]
                if species[k] != partner:
                    continue
                dot, opposite = triangle(vectors[j], vectors[k])
                if all_narrow and opposite >= reach:
                    continue
                corners[row, 0], corners[row, 1] = j, k
                cosines[row] = dot / (distances[j] * distances[k])
                angle_factors(cosines[row], all_turns, first, last, turn[:, row], turn_slope[:, row])
                opposite_sides(opposite, envelopes, shape, alpha, far[:, row], far_slope[:, row])
                row += 1
        start[kind + 1] = row
    return start, corners, cosines, turn, turn_slope, far, far_slope


@njit(cache=True, fastmath={"contract"})
def atom_values(of: Functions, found: Triangles, distances: Array, species: Integers, out: Array) -> None:
    """Symmetry functions of one atom into ``out``, (n_slots,).

    found: from ``triangles``. distances: (n,) Å; species: (n,) index of the neighbour's element.
    """
    for s in range(of.n_slots):
        out[s] = 0.0
    shape, alpha, radial, envelopes, kinds, segments = (
        of.shape, of.alpha, of.radial, of.envelopes, of.kinds, of.segments
    )  # fmt: skip
    for j in range(distances.shape[0]):
        for s in range(of.radial_start[species[j]], of.radial_start[species[j] + 1]):
            eta, r_s, r_cut = radial[s, 0], radial[s, 1], radial[s, 2]
            out[s] += side(distances[j], eta, r_s, r_cut, shape, alpha)[0]
    start, corners, _, turn, _, far, _ = found
    value, _ = sides(distances, envelopes, shape, alpha)
    envelope = np.empty(corners.shape[0])
    for kind in range(kinds.shape[0]):
        begin, end = start[kind], start[kind + 1]
        for c in range(kinds[kind, 2], kinds[kind, 3]):
            e, t, s, length = segments[c, 0], segments[c, 1], segments[c, 2], segments[c, 3]
            for row in range(begin, end):
                envelope[row] = value[corners[row, 0], e] * value[corners[row, 1], e] * far[e, row]
            for q in range(length):
                out[s + q] = _product(envelope, turn[t + q], begin, end)


@njit(cache=True, fastmath=True)
def _product(first: Array, second: Array, begin: int, end: int) -> float:
    """Scalar product of two vectors between two places."""
    total = 0.0
    for row in range(begin, end):
        total += first[row] * second[row]
    return total


@njit(cache=True)
def add_values(
    of: Functions,
    centres: Integers,
    first: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    columns: Integers,
    out: Array,
) -> None:
    """``atom_values`` of the atoms ``centres`` into the ``columns`` (n_slots,) of their rows of ``out``.

    first: (n_atoms + 1,) where the neighbours of each atom begin in the other arrays.
    """
    slots = np.empty(of.n_slots)
    for number in range(centres.shape[0]):
        i = centres[number]
        begin, end = first[i], first[i + 1]
        lengths, kinds = distances[begin:end], species[begin:end]
        atom_values(of, triangles(of, vectors[begin:end], lengths, kinds), lengths, kinds, slots)
        for s in range(of.n_slots):
            out[i, columns[s]] = slots[s]
