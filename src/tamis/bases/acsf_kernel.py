"""Compiled sums of Behler-Parrinello symmetry functions over neighbours and pairs of neighbours.

Cutoff functions and symmetry functions: Behler, J. Chem. Phys. 134, 074106 (2011); Singraber, Behler and Dellago,
J. Chem. Theory Comput. 15, 1827 (2019) for the further cutoff functions and the numbering of the types.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

COS, TANHU, TANH, EXP, POLY1, POLY2, POLY3, POLY4 = range(1, 9)


@njit(cache=True)
def cutoff_function(r: float, r_cut: float, shape: int, alpha: float) -> float:
    """Weight of a neighbour at distance ``r``; 0 from ``r_cut`` on, 1 up to ``alpha * r_cut`` (not for tanh shapes)."""
    if r >= r_cut:
        return 0.0
    if shape == TANHU:
        return math.tanh(1.0 - r / r_cut) ** 3
    if shape == TANH:
        return (math.tanh(1.0 - r / r_cut) / math.tanh(1.0)) ** 3
    inner = alpha * r_cut
    if r < inner:
        return 1.0
    x = (r - inner) / (r_cut - inner)
    if shape == COS:
        return 0.5 * (math.cos(math.pi * x) + 1.0)
    if shape == EXP:
        return math.exp(1.0 - 1.0 / (1.0 - x * x))
    return _smoothstep(1.0 - x, shape)


@njit(cache=True)
def _smoothstep(y: float, shape: int) -> float:
    """Polynomials from 0 at y = 0 to 1 at y = 1 with 1 to 4 vanishing derivatives at both ends.

    Written in y = 1 - x, the distance to the cutoff: a polynomial in x loses all digits where it goes to zero.
    """
    if shape == POLY1:
        return y**2 * (3.0 - 2.0 * y)
    if shape == POLY2:
        return y**3 * (10.0 + y * (-15.0 + 6.0 * y))
    if shape == POLY3:
        return y**4 * (35.0 + y * (-84.0 + y * (70.0 - 20.0 * y)))
    return y**5 * (126.0 + y * (-420.0 + y * (540.0 + y * (-315.0 + 70.0 * y))))


@njit(cache=True)
def _power(base: float, exponent: float) -> float:
    """base ** exponent for a base >= 0, by squaring where the exponent is a whole number."""
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


@njit(cache=True)
def add_radial(
    centres: Integers,
    first: Integers,
    distances: Array,
    species: Integers,
    shape: int,
    alpha: float,
    columns: Integers,
    partners: Integers,
    eta: Array,
    r_s: Array,
    r_cut: Array,
    out: Array,
) -> None:
    """Type 2: sum over neighbours of one element of exp(-eta (r - r_s)^2) fc(r).

    centres: atoms to treat. first: (n_atoms + 1,) where the neighbours of each atom start. distances, species:
    (n_neighbours,) Å, index of the element. columns, partners, eta, r_s, r_cut: (n_functions,) column of ``out``,
    element of the neighbour, 1/Å^2, Å, Å. out: (n_atoms, n_columns), added to.
    """
    for i in centres:
        for j in range(first[i], first[i + 1]):
            r = distances[j]
            last_r_cut = -1.0
            weight = 0.0
            for f in range(columns.shape[0]):
                if partners[f] != species[j] or r >= r_cut[f]:
                    continue
                if r_cut[f] != last_r_cut:
                    last_r_cut = r_cut[f]
                    weight = cutoff_function(r, last_r_cut, shape, alpha)
                out[i, columns[f]] += weight * math.exp(-eta[f] * (r - r_s[f]) ** 2)


@njit(cache=True)
def add_angular(
    centres: Integers,
    first: Integers,
    vectors: Array,
    distances: Array,
    species: Integers,
    shape: int,
    alpha: float,
    envelope_is_narrow: NDArray[np.bool_],
    envelope_eta: Array,
    envelope_r_s: Array,
    envelope_r_cut: Array,
    turn_lambda: Array,
    turn_zeta: Array,
    start: Integers,
    columns: Integers,
    envelopes: Integers,
    turns: Integers,
    out: Array,
) -> None:
    """Types 3 and 9: sum over pairs j < k of 2^(1-zeta) (1 + lambda cos)^zeta times an envelope.

    The envelope of type 9 ("wide") is a product over the sides ij and ik of exp(-eta (r - r_s)^2) fc(r), that of
    type 3 ("narrow") over the side jk too. Many functions share an envelope or a turn (the factor of the angle), so
    each is listed once.

    envelope_*: (n_envelopes,) and turn_*: (n_turns,). A function is a column with the index of its envelope and of its
    turn. Those of the neighbour elements a, b are start[a, b] to start[a, b + 1] - 1, sorted by envelope. The other
    arguments are those of ``add_radial``.
    """
    n_envelopes, n_turns = envelope_eta.shape[0], turn_zeta.shape[0]
    widest = envelope_r_cut.max()
    angle = np.empty(n_turns)
    for i in centres:
        near = np.array([j for j in range(first[i], first[i + 1]) if distances[j] < widest])
        sides = np.empty((near.shape[0], n_envelopes))
        for a in range(near.shape[0]):
            for e in range(n_envelopes):
                sides[a, e] = _side(
                    distances[near[a]], envelope_eta[e], envelope_r_s[e], envelope_r_cut[e], shape, alpha
                )
        for a in range(near.shape[0]):
            j = near[a]
            for b in range(a + 1, near.shape[0]):
                k = near[b]
                begin, end = start[species[j], species[k]], start[species[j], species[k] + 1]
                if begin == end:
                    continue
                dot = 0.0
                for axis in range(3):
                    dot += vectors[j, axis] * vectors[k, axis]
                cosine = dot / (distances[j] * distances[k])
                opposite = math.sqrt(max(0.0, distances[j] ** 2 + distances[k] ** 2 - 2.0 * dot))
                for t in range(n_turns):
                    half = 0.5 * (1.0 + turn_lambda[t] * cosine)
                    angle[t] = 2.0 * _power(half, turn_zeta[t]) if half > 0.0 else 0.0
                current = -1
                envelope = 0.0
                for f in range(begin, end):
                    e = envelopes[f]
                    if e != current:
                        current = e
                        envelope = sides[a, e] * sides[b, e]
                        if envelope_is_narrow[e] and envelope != 0.0:
                            envelope *= _side(
                                opposite, envelope_eta[e], envelope_r_s[e], envelope_r_cut[e], shape, alpha
                            )
                    out[i, columns[f]] += envelope * angle[turns[f]]


@njit(cache=True)
def _side(r: float, eta: float, r_s: float, r_cut: float, shape: int, alpha: float) -> float:
    """exp(-eta (r - r_s)^2) fc(r) of one side of a triangle."""
    weight = cutoff_function(r, r_cut, shape, alpha)
    return weight * math.exp(-eta * (r - r_s) ** 2) if weight != 0.0 else 0.0
