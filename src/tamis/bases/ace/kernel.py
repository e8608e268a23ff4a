"""The atomic cluster expansion of one structure: values, forces and strain derivatives of every basis function.

A basis function of atom i is a sum of products of its density projections A, and A is a sum over neighbours:

    A_{mu n l m} = sum over neighbours j of element mu of R_n(r_ij) Y_lm(r_ij / r_ij)
    B_k          = sum over couplings p of g_p Re( product over factors f of A_f )

(Drautz, Phys. Rev. B 99, 014104 (2019), Eqs. 16-25; real and linear form: Dusson et al., J. Comput. Phys. 454,
110946 (2022).) A function depends on few projections (about 8 of 200), so its derivative is a short sum over their
gradients, and sparse loops are faster than a dense matrix product. The gradients are first collected by *atom*, not by
pair, so that the many images of an atom in a small cell cost no more than one.

Parts are inlined in numba's own code, so that it compiles one function: a sixth less time to compile and to compute.

Complex numbers are kept as real rows: for a pair (R, l) the 2l + 1 rows Re Y_l0, Re Y_l1, Im Y_l1, Re Y_l2 ...
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

N_OWN = 3
"""Columns for the gradient by the central atom's own position."""
N_STRAIN = 6
"""Columns for the strain derivative, Voigt xx yy zz yz xz xy."""


class Expansion(NamedTuple):
    """The definition of a basis in plain arrays: E elements, C radial channels, O orbitals, M rows, K functions.

    An orbital is a radial channel with an angular momentum l; it has 2l + 1 rows. Element e has the functions
    first_function[e] .. first_function[e + 1]. Function k has the couplings first_coupling[k] .. and a coupling p the
    factors first_factor[p] .. . The derivative of k by A has its non-zero entries at first_entry[k, e] ..
    first_entry[k, e + 1] for neighbours of element e, and their rows are entry_row.
    """

    r_cut: float
    """Å"""
    l_max: int
    radial: Array
    """(E, E, n_nodes, C, 2) value and derivative (times the spacing) at equidistant nodes 0 .. r_cut"""
    orbital_channel: Integers
    """(O,)"""
    orbital_l: Integers
    """(O,)"""
    orbital_row: Integers
    """(O + 1,) first row of each orbital"""
    first_function: Integers
    """(E + 1,)"""
    first_coupling: Integers
    """(K + 1,)"""
    coupling_weight: Array
    """(P,) generalised Clebsch-Gordan coefficient"""
    first_factor: Integers
    """(P + 1,)"""
    factor: Integers
    """(Q,) element times M plus the place of A_lm among the complex ones: A_l0, A_l1, A_l-1, A_l2 ..."""
    factor_sign: Array
    """(Q, 2) A_lm = sign[0] Re + i sign[1] Im of the rows of |m|: A_l,-m = (-1)^m conj(A_lm); no Im for m = 0"""
    factor_entry: Integers
    """(Q, 2) the entries that take the derivative by these two rows"""
    first_entry: Integers
    """(K, E + 1)"""
    entry_row: Integers
    """(number of entries,)"""


@njit(cache=True, inline="always")
def evaluate_radial(table: Array, r: float, r_cut: float, value: Array, slope: Array) -> None:
    """Cubic Hermite interpolation of all channels, (C,), between the nodes of ``table``, (n_nodes, C, 2)."""
    n_bins = table.shape[0] - 1
    scale = n_bins / r_cut
    left = int(r * scale)
    if left >= n_bins:
        value[:] = 0.0
        slope[:] = 0.0
        return
    t = r * scale - left
    u = 1.0 - t
    for c in range(table.shape[1]):
        f0, d0 = table[left, c, 0], table[left, c, 1]
        f1, d1 = table[left + 1, c, 0], table[left + 1, c, 1]
        value[c] = u * u * ((1.0 + 2.0 * t) * f0 + t * d0) + t * t * ((1.0 + 2.0 * u) * f1 - u * d1)
        slope[c] = scale * (6.0 * t * u * (f1 - f0) + u * (1.0 - 3.0 * t) * d0 + t * (1.0 - 3.0 * u) * d1)


@njit(cache=True, inline="always")
def evaluate_legendre(l_max: int, z: float, p: Array, dp: Array) -> None:
    """P_lm(z) / sin^m and its derivative, (l_max + 1, l_max + 1), with Condon-Shortley phase and norm P_00 = 1.

    Recurrences of Limpanuparb and Milthorpe, arXiv:1410.1748, Eqs. 14-15, times sqrt(4 pi).
    """
    p[0, 0] = 1.0
    dp[0, 0] = 0.0
    for ell in range(1, l_max + 1):
        p[ell, ell] = -np.sqrt(1.0 + 0.5 / ell) * p[ell - 1, ell - 1]
        dp[ell, ell] = 0.0
        p[ell, ell - 1] = np.sqrt(2.0 * ell + 1.0) * z * p[ell - 1, ell - 1]
        dp[ell, ell - 1] = np.sqrt(2.0 * ell + 1.0) * p[ell - 1, ell - 1]
        for m in range(ell - 1):
            a = np.sqrt((4.0 * ell * ell - 1.0) / (ell * ell - m * m))
            b = np.sqrt(((ell - 1.0) ** 2 - m * m) / (4.0 * (ell - 1.0) ** 2 - 1.0))
            p[ell, m] = a * (z * p[ell - 1, m] - b * p[ell - 2, m])
            dp[ell, m] = a * (p[ell - 1, m] + z * dp[ell - 1, m] - b * dp[ell - 2, m])


@njit(cache=True, inline="always")
def evaluate_harmonics(l_max: int, unit: Array, p: Array, dp: Array, y: Array, dy: Array) -> None:
    """Spherical harmonics of the unit vector, ((l_max + 1)^2,), and r times their gradient, (..., 3)."""
    ux, uy, uz = unit[0], unit[1], unit[2]
    evaluate_legendre(l_max, uz, p, dp)
    power, lower = 1.0 + 0.0j, 0.0 + 0.0j  # (x + iy)^m and (x + iy)^(m - 1)
    for m in range(l_max + 1):
        for ell in range(m, l_max + 1):
            gx = m * lower * p[ell, m]
            gy = 1.0j * gx
            gz = power * dp[ell, m]
            along = ux * gx + uy * gy + uz * gz  # the length of the vector is not varied
            value, gx, gy, gz = power * p[ell, m], gx - along * ux, gy - along * uy, gz - along * uz
            row = ell * ell + max(0, 2 * m - 1)
            y[row], dy[row, 0], dy[row, 1], dy[row, 2] = value.real, gx.real, gy.real, gz.real
            if m > 0:
                row += 1
                y[row], dy[row, 0], dy[row, 1], dy[row, 2] = value.imag, gx.imag, gy.imag, gz.imag
        power, lower = power * (ux + 1.0j * uy), power


@njit(cache=True, inline="always")
def assign_columns(
    neighbours: Integers, kinds: Integers, n_elements: int, column: Integers, atoms: Integers, start: Integers
) -> None:
    """Give each neighbouring atom three columns, element by element; 3 + 6 more end each element's block.

    column: (n_atoms,) out, first column of an atom, -1 for no neighbour. atoms: out, the atom of every three columns.
    start: (E + 1,) out, first column of each element's block.
    """
    for j in neighbours:
        column[j] = -1
    n_columns = 0
    n_found = 0
    for element in range(n_elements):
        start[element] = n_columns
        for j in neighbours:
            if kinds[j] == element and column[j] < 0:
                column[j] = n_columns
                atoms[n_found] = j
                n_columns += 3
                n_found += 1
        n_columns += N_OWN + N_STRAIN
    start[n_elements] = n_columns


@njit(cache=True, inline="always")
def project(
    x: Expansion, tables: Array, kinds: Integers, neighbours: Integers, distances: Array, vectors: Array,
    column: Integers, start: Integers, a: Array, da: Array,
) -> None:  # fmt: skip
    """Density projections A of one atom, (E, M), and their gradients by its columns, (M, n_columns) or no row."""
    derivatives = len(da) > 0
    n_channels = tables.shape[2]
    value, slope = np.empty(n_channels), np.empty(n_channels)
    p, dp = np.empty((x.l_max + 1, x.l_max + 1)), np.empty((x.l_max + 1, x.l_max + 1))
    y, dy = np.empty((x.l_max + 1) ** 2), np.empty(((x.l_max + 1) ** 2, 3))
    unit = np.empty(3)
    a[:] = 0.0
    da[:, : start[-1]] = 0.0
    for q in range(len(neighbours)):
        element = kinds[neighbours[q]]
        first = column[neighbours[q]]
        last = start[element + 1] - N_OWN - N_STRAIN
        rx, ry, rz = vectors[q, 0], vectors[q, 1], vectors[q, 2]
        unit[0], unit[1], unit[2] = rx / distances[q], ry / distances[q], rz / distances[q]
        evaluate_radial(tables[element], distances[q], x.r_cut, value, slope)
        evaluate_harmonics(x.l_max, unit, p, dp, y, dy)
        for orbital in range(len(x.orbital_l)):
            ell = x.orbital_l[orbital]
            radius = value[x.orbital_channel[orbital]]
            steepness = slope[x.orbital_channel[orbital]]
            for m in range(2 * ell + 1):
                row = x.orbital_row[orbital] + m
                a[element, row] += radius * y[ell * ell + m]
                if not derivatives:
                    continue
                radial_part = steepness * y[ell * ell + m]
                angular_part = radius / distances[q]
                gx = radial_part * unit[0] + angular_part * dy[ell * ell + m, 0]
                gy = radial_part * unit[1] + angular_part * dy[ell * ell + m, 1]
                gz = radial_part * unit[2] + angular_part * dy[ell * ell + m, 2]
                to = da[row, first : first + 3]
                to[0] += gx
                to[1] += gy
                to[2] += gz
                to = da[row, last : last + N_OWN + N_STRAIN]
                to[0] -= gx
                to[1] -= gy
                to[2] -= gz
                to[3] += rx * gx
                to[4] += ry * gy
                to[5] += rz * gz
                to[6] += 0.5 * (ry * gz + rz * gy)
                to[7] += 0.5 * (rx * gz + rz * gx)
                to[8] += 0.5 * (rx * gy + ry * gx)


@njit(cache=True, inline="always")
def make_complex(x: Expansion, a: Array, projections: NDArray[np.complex128]) -> None:
    """Complex A_lm of both signs of m, (E * M,), from their real rows, (E, M)."""
    n_rows = a.shape[1]
    for element in range(a.shape[0]):
        for orbital in range(len(x.orbital_l)):
            row = x.orbital_row[orbital]
            at = element * n_rows + row
            projections[at] = a[element, row]
            parity = -1.0
            for m in range(1, x.orbital_l[orbital] + 1):
                re, im = a[element, row + 2 * m - 1], a[element, row + 2 * m]
                projections[at + 2 * m - 1] = complex(re, im)
                projections[at + 2 * m] = complex(parity * re, -parity * im)
                parity = -parity


@njit(cache=True, inline="always")
def couple(
    x: Expansion, k: int, projections: NDArray[np.complex128], partial: NDArray[np.complex128], entries: Array
) -> float:  # fmt: skip
    """Value of function ``k``; its derivatives by the real rows of A go to ``entries`` unless that is empty."""
    begin = x.first_entry[k, 0]
    derivatives = len(entries) > 0
    if derivatives:
        entries[: x.first_entry[k, -1] - begin] = 0.0
    total = 0.0
    for coupling in range(x.first_coupling[k], x.first_coupling[k + 1]):
        first, last = x.first_factor[coupling], x.first_factor[coupling + 1]
        product = complex(x.coupling_weight[coupling], 0.0)
        for f in range(first, last):
            partial[f - first] = product
            product *= projections[x.factor[f]]
        total += product.real
        if derivatives:
            after = complex(1.0, 0.0)
            for f in range(last - 1, first - 1, -1):
                others = partial[f - first] * after
                after *= projections[x.factor[f]]
                entries[x.factor_entry[f, 0] - begin] += x.factor_sign[f, 0] * others.real
                entries[x.factor_entry[f, 1] - begin] -= x.factor_sign[f, 1] * others.imag
    return total


@njit(cache=True, inline="always")
def combine(entries: Array, rows: Integers, da: Array, out: Array) -> None:
    """out += entries @ da[rows], four rows at a time to save loads and stores of ``out``."""
    n = len(rows)
    blocked = n - n % 4
    for s in range(0, blocked, 4):
        w0, w1, w2, w3 = entries[s], entries[s + 1], entries[s + 2], entries[s + 3]
        d0, d1, d2, d3 = da[rows[s]], da[rows[s + 1]], da[rows[s + 2]], da[rows[s + 3]]
        for c in range(len(out)):
            out[c] += w0 * d0[c] + w1 * d1[c] + w2 * d2[c] + w3 * d3[c]
    for s in range(blocked, n):
        w0, d0 = entries[s], da[rows[s]]
        for c in range(len(out)):
            out[c] += w0 * d0[c]


@njit(cache=True, inline="always")
def spread(columns: Array, start: Integers, atoms: Integers, i: int, gradient: Array, strain: Array) -> None:
    """Add one function's derivatives by the columns of atom ``i`` to its rows of gradient (3 n,) and strain (6,)."""
    n_found = 0
    for element in range(len(start) - 1):
        last = start[element + 1] - N_OWN - N_STRAIN
        for c in range(start[element], last, 3):
            j = atoms[n_found]
            n_found += 1
            gradient[3 * j] += columns[c]
            gradient[3 * j + 1] += columns[c + 1]
            gradient[3 * j + 2] += columns[c + 2]
        for b in range(N_OWN):
            gradient[3 * i + b] += columns[last + b]
        for b in range(N_STRAIN):
            strain[b] += columns[last + N_OWN + b]


@njit(cache=True, inline="always")
def widest(first: Integers) -> int:
    """The longest run between neighbouring entries of ``first``, (n + 1,)."""
    most = 0
    for n in range(len(first) - 1):
        most = max(most, first[n + 1] - first[n])
    return most


@njit(cache=True)
def expand(
    x: Expansion, kinds: Integers, first_pair: Integers, neighbours: Integers, distances: Array, vectors: Array,
    derivatives: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Evaluate a basis on one structure.

    Parameters
    ----------
    x : the basis.
    kinds : (n_atoms,) index of each atom's element.
    first_pair : (n_atoms + 1,) the pairs of atom i are first_pair[i] .. first_pair[i + 1].
    neighbours, distances, vectors : (n_pairs,), (n_pairs,) Å, (n_pairs, 3) Å from the atom to its neighbour.
    derivatives : whether they are needed.

    Returns
    -------
    values (n_atoms, K), gradient of their sum by the positions (K, 3 n_atoms) in 1/Å and by the strain (K, 6); both
    gradients have no rows without derivatives.
    """
    n_atoms, n_elements = len(kinds), len(x.first_function) - 1
    n_functions, n_rows = x.first_function[-1], x.orbital_row[-1]
    values = np.zeros((n_atoms, n_functions))
    n_derived = n_functions if derivatives else 0
    gradient, strain = np.zeros((n_derived, 3 * n_atoms)), np.zeros((n_derived, N_STRAIN))
    most = min(n_atoms, widest(first_pair))
    column, atoms = np.empty(n_atoms, dtype=np.int64), np.empty(most, dtype=np.int64)
    start = np.empty(n_elements + 1, dtype=np.int64)
    a = np.empty((n_elements, n_rows))
    da = np.empty((n_rows if derivatives else 0, 3 * most + n_elements * (N_OWN + N_STRAIN)))
    columns = np.empty(da.shape[1])
    projections = np.empty(n_elements * n_rows, dtype=np.complex128)
    partial = np.empty(widest(x.first_factor), dtype=np.complex128)
    n_entries = 0
    for k in range(n_functions if derivatives else 0):
        n_entries = max(n_entries, x.first_entry[k, n_elements] - x.first_entry[k, 0])
    entries = np.empty(n_entries)
    for i in range(n_atoms):
        pairs = slice(first_pair[i], first_pair[i + 1])
        assign_columns(neighbours[pairs], kinds, n_elements, column, atoms, start)
        project(
            x, x.radial[kinds[i]], kinds, neighbours[pairs], distances[pairs], vectors[pairs], column, start, a, da
        )  # fmt: skip
        make_complex(x, a, projections)
        for k in range(x.first_function[kinds[i]], x.first_function[kinds[i] + 1]):
            values[i, k] = couple(x, k, projections, partial, entries)
            if not derivatives:
                continue
            columns[: start[-1]] = 0.0
            begin = x.first_entry[k, 0]
            for element in range(n_elements):
                lo, hi = x.first_entry[k, element], x.first_entry[k, element + 1]
                here = slice(start[element], start[element + 1])
                combine(entries[lo - begin : hi - begin], x.entry_row[lo:hi], da[:, here], columns[here])
            spread(columns, start, atoms, i, gradient[k], strain[k])
    return values, gradient, strain
