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

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.models.nnp.network import split_layers

Single = NDArray[np.float32]
Integers = NDArray[np.int64]


def forward_and_back(sizes: Sequence[int], parameters: Single, inputs: Single) -> tuple[Single, Single]:
    """Values y and derivatives δ of all layers of atoms of one element, each (n_atoms, sum of sizes).

    parameters: (n_parameters,) as in ``Network``. The last column of the values is the energy; the first columns of
    the derivatives are those with respect to the ``inputs`` (n_atoms, sizes[0]).
    """
    layers = split_layers(sizes, parameters)
    values = [inputs]
    for weights, biases in layers[:-1]:
        values.append(np.tanh(values[-1] @ weights + biases))
    weights, biases = layers[-1]
    values.append(values[-1] @ weights + biases)
    deltas = [np.ones((len(inputs), 1), dtype=np.float32)]
    for (weights, _), y in zip(reversed(layers), reversed(values[:-1]), strict=True):
        back = deltas[0] @ weights.T
        deltas.insert(0, back if y is inputs else back * (1.0 - y * y))
    return np.concatenate(values, axis=1), np.concatenate(deltas, axis=1)


@njit(cache=True)
def energy_rows(
    sizes: Integers,
    first: Integers,
    structures: Integers,
    start: Integers,
    species: Integers,
    n_parameters: int,
    nodes: Single,
    deltas: Single,
    rows: Single,
) -> None:
    """Derivatives of the energies of ``structures`` with respect to the parameters.

    rows: (n, n_elements * n_parameters), overwritten. first: where each layer begins in a row of nodes and deltas.
    start: where each structure's atoms begin.
    """
    rows[:] = 0.0
    for number in range(structures.shape[0]):
        for i in range(start[structures[number]], start[structures[number] + 1]):
            begin = species[i] * n_parameters
            for layer in range(sizes.shape[0] - 1):
                n_in, n_out, low, high = sizes[layer], sizes[layer + 1], first[layer], first[layer + 1]
                for j in range(n_in):
                    for k in range(n_out):
                        rows[number, begin + j * n_out + k] += nodes[i, low + j] * deltas[i, high + k]
                for k in range(n_out):
                    rows[number, begin + n_in * n_out + k] += deltas[i, high + k]
                begin += (n_in + 1) * n_out


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
    gradient. directions: (3 n_entries, m), the derivatives of their inputs: all entries of a group and element
    with respect to the first coordinate, then by the second, then by the third.
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
                _add_rows(
                    sizes,
                    parameters[element],
                    first,
                    directions[3 * begin : 3 * end],
                    nodes[chosen],
                    deltas[chosen],
                    rows[3 * number : 3 * number + 3, part],
                )


@njit(cache=True)
def _add_rows(
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
    us, ts = [directions], [directions]
    begin = 0
    for layer in range(n_hidden):
        n_in, n_out, high = sizes[layer], sizes[layer + 1], first[layer + 1]
        t = np.dot(us[layer], own[begin : begin + n_in * n_out].reshape(n_in, n_out))
        u = np.empty_like(t)
        for axis in range(3):
            for i in range(n):
                for k in range(n_out):
                    y = nodes[i, high + k]
                    u[axis * n + i, k] = (np.float32(1.0) - y * y) * t[axis * n + i, k]
        us.append(u)
        ts.append(t)
        begin += (n_in + 1) * n_out
    last = sizes[n_hidden]
    for axis in range(3):
        for k in range(last):
            total = np.float32(0.0)
            for i in range(n):
                total += us[n_hidden][axis * n + i, k]
            rows[axis, begin + k] = total
        rows[axis, begin + last] = 0.0
    y_bar = np.zeros((3 * n, last), dtype=np.float32)
    for back in range(n_hidden):
        layer = n_hidden - 1 - back
        n_in, n_out, low, high = sizes[layer], sizes[layer + 1], first[layer], first[layer + 1]
        begin -= (n_in + 1) * n_out
        z, t = np.empty((3 * n, n_out), dtype=np.float32), ts[layer + 1]
        for axis in range(3):
            for i in range(n):
                for k in range(n_out):
                    y, place = nodes[i, high + k], axis * n + i
                    z[place, k] = (np.float32(1.0) - y * y) * y_bar[place, k] - np.float32(2.0) * y * t[
                        place, k
                    ] * deltas[i, high + k]
        # [u; y] transposed times [δ; z]: both outer products of an axis summed over the atoms at once
        left, right = np.empty((2 * n, n_in), dtype=np.float32), np.empty((2 * n, n_out), dtype=np.float32)
        left[n:] = nodes[:, low : low + n_in]
        right[:n] = deltas[:, high : high + n_out]
        for axis in range(3):
            left[:n] = us[layer][axis * n : (axis + 1) * n]
            right[n:] = z[axis * n : (axis + 1) * n]
            product = np.dot(left.T, right)
            for j in range(n_in):
                for k in range(n_out):
                    rows[axis, begin + j * n_out + k] = product[j, k]
            for k in range(n_out):
                total = np.float32(0.0)
                for i in range(n):
                    total += z[axis * n + i, k]
                rows[axis, begin + n_in * n_out + k] = total
        if layer > 0:
            y_bar = np.dot(z, own[begin : begin + n_in * n_out].reshape(n_in, n_out).T)


@njit(cache=True)
def gradients(
    groups: Integers, start: Integers, atoms: Integers, directions: Single, deltas: Single
) -> NDArray[np.float64]:
    """The three gradients of the energy of each of ``groups``, (len(groups), 3); see ``gradient_rows``."""
    m = directions.shape[1]
    out = np.zeros((groups.shape[0], 3))
    for number in range(groups.shape[0]):
        for element in range(start.shape[1] - 1):
            begin, end = start[groups[number], element], start[groups[number], element + 1]
            for axis in range(3):
                for entry in range(begin, end):
                    place = 3 * begin + axis * (end - begin) + entry - begin
                    total = np.float32(0.0)
                    for j in range(m):
                        total += directions[place, j] * deltas[atoms[entry], j]
                    out[number, axis] += total
    return out
