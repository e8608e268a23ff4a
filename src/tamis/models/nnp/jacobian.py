"""Derivatives of energies and forces with respect to the weights of tanh networks, in single precision.

With the input y_0 of an atom, y_l = tanh(y_{l-1} W_l + b_l), s_l = 1 - y_l² and the energy y_L w + b, let δ_l be the
derivative of the energy with respect to the argument of layer l. A derivative of the energy along a direction d of the
input (for a force or a strain) is found by pushing d forwards, u_0 = d, t_l = u_{l-1} W_l, u_l = s_l t_l; it equals
u_L w. Its own derivatives with respect to the weights follow by going back once more, from ȳ_L = 0:

    z_l = s_l ȳ_l - 2 y_l t_l δ_l,   ȳ_{l-1} = W_l z_l,
    dW_l = u_{l-1} δ_l + y_{l-1} z_l,   db_l = z_l,   dw = u_L.

Sums keep their order (no ``fastmath``): reordered ones differ in the last digit by where arrays lie in memory, and
training makes a part in ten of it.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.models.nnp.network import split_layers

Single = NDArray[np.float32]
Integers = NDArray[np.int64]

ATOMS_AT_ONCE = 512
"""On the way through a network and back: their values stay in the processor's cache."""


def forward_and_back(
    sizes: Sequence[int], parameters: Single, inputs: Single, atoms: Integers, nodes: Single, deltas: Single
) -> None:
    """Write values y and derivatives δ of all layers of ``atoms``, all of one element, into ``nodes`` and ``deltas``.

    parameters: (n_parameters,) as in ``Network``. inputs: (n_atoms, sizes[0]). nodes, deltas: (n_atoms, sum of sizes);
    the last column of the values is the energy; the first columns of the derivatives are those by the inputs.
    """
    places = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
    layers = split_layers(sizes, parameters)
    for begin in range(0, len(atoms), ATOMS_AT_ONCE):
        some = atoms[begin : begin + ATOMS_AT_ONCE]
        values = [inputs[some]]
        for weights, biases in layers[:-1]:
            values.append(np.tanh(values[-1] @ weights + biases))
        weights, biases = layers[-1]
        values.append(values[-1] @ weights + biases)
        back = [np.ones((len(some), 1), dtype=np.float32)]
        for (weights, _), y in zip(reversed(layers), reversed(values[:-1]), strict=True):
            delta = back[-1] @ weights.T
            back.append(delta if y is values[0] else delta * (1.0 - y * y))
        for place, y, delta in zip(places, values, reversed(back), strict=True):
            nodes[some, place], deltas[some, place] = y, delta


def energy_rows(
    sizes: Sequence[int],
    structures: Integers,
    start: Integers,
    species: Integers,
    n_elements: int,
    nodes: Single,
    deltas: Single,
    rows: Single,
) -> None:
    """Derivatives of the energies of ``structures`` with respect to the parameters.

    rows: (n, n_elements * n_parameters), overwritten. start: where each structure's atoms begin.
    """
    places = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
    for structure, row in zip(structures, rows, strict=True):
        atoms = slice(start[structure], start[structure + 1])
        for element, own in enumerate(row.reshape(n_elements, -1)):
            y, delta = nodes[atoms], deltas[atoms]
            if n_elements > 1:
                of_element = species[atoms] == element
                y, delta = y[of_element], delta[of_element]
            sums = delta.sum(axis=0)
            for (low, high), (weights, biases) in zip(
                pairwise(places), split_layers(sizes, own), strict=True
            ):
                np.dot(y[:, low].T, delta[:, high], out=weights)
                biases[:] = sums[high]


@njit(cache=True)
def with_ones(values: Single) -> Single:
    """Values (n, m) and a last column of ones, whose products are sums over the rows."""
    out = np.ones((values.shape[0], values.shape[1] + 1), dtype=np.float32)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = values[i, j]
    return out


@njit(cache=True)
def gradient_rows(
    sizes: Integers,
    parameters: Single,
    first: Integers,
    groups: Integers,
    start: Integers,
    atoms: Integers,
    directions: Single,
    nodes: Single,
    deltas: Single,
    rows: Single,
) -> None:
    """Derivatives of three gradients of the energy with respect to the parameters, for each of ``groups``.

    parameters: (n_elements, n_parameters). start: (n_groups, n_elements + 1): the entries of a group with atoms of
    element e are start[group, e] .. start[group, e + 1] - 1 of ``atoms`` (n_entries,), the atoms that feel the
    gradient. directions: (n_entries, 3, m), the derivatives of their inputs with respect to three coordinates.
    rows: (3 len(groups), n_elements * n_parameters), overwritten.
    """
    n_per_element = parameters.shape[1]
    rows[:] = 0.0
    for number in range(groups.shape[0]):
        group = groups[number]
        for element in range(parameters.shape[0]):
            begin, end = start[group, element], start[group, element + 1]
            if begin < end:
                chosen = atoms[begin:end]
                part = slice(element * n_per_element, (element + 1) * n_per_element)
                _set_rows(
                    sizes,
                    parameters[element],
                    first,
                    directions[begin:end],
                    nodes[chosen],
                    deltas[chosen],
                    rows[3 * number : 3 * number + 3, part],
                )


@njit(cache=True)
def _set_rows(
    sizes: Integers,
    own: Single,
    first: Integers,
    directions: Single,
    nodes: Single,
    deltas: Single,
    rows: Single,
) -> None:
    """``gradient_rows`` of one group and one element; rows: (3, n_parameters), overwritten."""
    n, n_hidden = nodes.shape[0], sizes.shape[0] - 2
    us, ts = [directions], [directions]  # (n, 3, neurons)
    begin = 0
    for layer in range(n_hidden):
        n_in, n_out, high = sizes[layer], sizes[layer + 1], first[layer + 1]
        weights = own[begin : begin + n_in * n_out].reshape(n_in, n_out)
        t = np.dot(us[layer].reshape(3 * n, n_in), weights).reshape(n, 3, n_out)
        u = np.empty_like(t)
        for i in range(n):
            y = nodes[i, high : high + n_out]
            for axis in range(3):
                for k in range(n_out):
                    u[i, axis, k] = (np.float32(1.0) - y[k] * y[k]) * t[i, axis, k]
        us.append(u)
        ts.append(t)
        begin += (n_in + 1) * n_out
    last = sizes[n_hidden]
    rows[:, begin:] = 0.0
    for i in range(n):
        for axis in range(3):
            for k in range(last):
                rows[axis, begin + k] += us[n_hidden][i, axis, k]
    y_bar = np.zeros((n, 3, last), dtype=np.float32)
    for back in range(n_hidden):
        layer = n_hidden - 1 - back
        n_in, n_out, low, high = sizes[layer], sizes[layer + 1], first[layer], first[layer + 1]
        begin -= (n_in + 1) * n_out
        z, t = np.empty((n, 3, n_out), dtype=np.float32), ts[layer + 1]
        for i in range(n):
            y, delta = nodes[i, high : high + n_out], deltas[i, high : high + n_out]
            for axis in range(3):
                for k in range(n_out):
                    z[i, axis, k] = (np.float32(1.0) - y[k] * y[k]) * y_bar[i, axis, k] - np.float32(2.0) * y[
                        k
                    ] * t[i, axis, k] * delta[k]
        along = np.dot(us[layer].reshape(n, 3 * n_in).T, deltas[:, high : high + n_out].copy())
        across = np.dot(with_ones(nodes[:, low : low + n_in]).T, z.reshape(n, 3 * n_out))
        for axis in range(3):
            for j in range(n_in + 1):
                for k in range(n_out):
                    rows[axis, begin + j * n_out + k] = across[j, axis * n_out + k]
            for j in range(n_in):
                for k in range(n_out):
                    rows[axis, begin + j * n_out + k] += along[axis * n_in + j, k]
        if layer > 0:
            weights = own[begin : begin + n_in * n_out].reshape(n_in, n_out)
            y_bar = np.dot(z.reshape(3 * n, n_out), weights.T).reshape(n, 3, n_in)


@njit(cache=True)
def gradients(
    groups: Integers, start: Integers, atoms: Integers, directions: Single, deltas: Single
) -> NDArray[np.float64]:
    """The three gradients of the energy of each of ``groups``, (len(groups), 3); see ``gradient_rows``."""
    m = directions.shape[2]
    out = np.empty((groups.shape[0], 3))
    products = np.empty((3, m), dtype=np.float32)  # of each function, summed over entries: the order is fixed
    for number in range(groups.shape[0]):
        for axis in range(3):
            for j in range(m):
                products[axis, j] = np.float32(0.0)
        for entry in range(start[groups[number], 0], start[groups[number], -1]):
            atom = atoms[entry]
            for axis in range(3):
                for j in range(m):
                    products[axis, j] += directions[entry, axis, j] * deltas[atom, j]
        for axis in range(3):
            total = np.float32(0.0)
            for j in range(m):
                total += products[axis, j]
            out[number, axis] = total
    return out
