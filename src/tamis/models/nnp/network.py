"""Feed-forward networks of one element: energies, gradients with respect to the input, and networks side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

ACTIVATIONS = "ltsprgcSeh"
"""n2p2's letters: identity, tanh, logistic, softplus, ReLU, exp(-x²/2), cosine, 1 - logistic, exp(-x), x²."""
(IDENTITY, TANH, LOGISTIC, SOFTPLUS, RELU, GAUSS, COSINE, REVERSED_LOGISTIC, EXPONENTIAL, HARMONIC) = range(
    10
)


@dataclass(frozen=True, eq=False)
class Network:
    """y = f(x W + b), layer after layer; the last layer has one neuron, the energy of an atom.

    sizes: neurons of each layer, the input first and 1 last.
    activations: a letter of ``ACTIVATIONS`` for each layer after the input.
    parameters: of every layer W (inputs, outputs) row by row, then b. This is the order of n2p2's weight files.
    """

    sizes: tuple[int, ...]
    activations: str
    parameters: Array

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.activations) - set(ACTIVATIONS)):
            raise TamisError(
                f"activation {', '.join(unknown)} is unknown; choose from {', '.join(ACTIVATIONS)}"
            )
        if len(self.sizes) != len(self.activations) + 1 or self.sizes[-1] != 1:
            raise TamisError(
                f"a network of layers {self.sizes} with activations {self.activations!r}: one activation for each "
                "layer after the input and one neuron at the end are needed"
            )
        if self.parameters.shape != (n_parameters(self.sizes),):
            raise TamisError(
                f"a network of layers {self.sizes} has {n_parameters(self.sizes)} weights and biases, "
                f"not {len(self.parameters)}"
            )

    @cached_property
    def compiled(self) -> tuple[Integers, Integers, Array]:
        """The first three arguments of ``energy_and_gradient``."""
        kinds = np.array([ACTIVATIONS.index(letter) for letter in self.activations], dtype=np.int64)
        return np.array(self.sizes, dtype=np.int64), kinds, np.ascontiguousarray(self.parameters, dtype=float)

    def layers(self) -> list[tuple[Array, Array]]:
        """W (inputs, outputs) and b (outputs,) of each layer, views of the parameters."""
        return split_layers(self.sizes, self.parameters)

    def scaled(self, factor: float) -> Network:
        """The network whose energies are ``factor`` times these.

        Raises
        ------
        TamisError : the last layer is not linear.
        """
        if self.activations[-1] != "l":
            raise TamisError(
                f"the last layer has the activation {self.activations[-1]!r}; its unit can be changed only where "
                "it is l, the identity"
            )
        parameters = self.parameters.copy()
        parameters[len(parameters) - self.sizes[-2] - 1 :] *= factor
        return Network(self.sizes, self.activations, parameters)


def n_parameters(sizes: Sequence[int]) -> int:
    """Number of weights and biases."""
    return sum((a + 1) * b for a, b in pairwise(sizes))


def split_layers(sizes: Sequence[int], parameters: NDArray[np.floating]) -> list[tuple[NDArray, NDArray]]:
    """Views of W (inputs, outputs) and b (outputs,) of each layer in a vector of parameters."""
    layers, begin = [], 0
    for n_in, n_out in pairwise(sizes):
        middle, end = begin + n_in * n_out, begin + (n_in + 1) * n_out
        layers.append((parameters[begin:middle].reshape(n_in, n_out), parameters[middle:end]))
        begin = end
    return layers


def mean_of(networks: Sequence[Network]) -> Network:
    """One network that gives the mean of ``networks``: their hidden layers side by side, without links between them.

    Networks need the same input, the same activations and a linear last layer.
    """
    first = networks[0]
    if len(networks) == 1:
        return first
    depth = len(first.sizes)
    sizes = (first.sizes[0], *(sum(n.sizes[d] for n in networks) for d in range(1, depth - 1)), 1)
    merged = Network(sizes, first.activations, np.zeros(n_parameters(sizes)))
    column, row = np.zeros(depth, dtype=int), np.zeros(depth, dtype=int)
    for network in networks:
        scaled = network.scaled(1.0 / len(networks)).layers()
        for d, ((weights, biases), (own_weights, own_biases)) in enumerate(
            zip(merged.layers(), scaled, strict=True)
        ):
            n_in, n_out = own_weights.shape
            weights[row[d] : row[d] + n_in, column[d] : column[d] + n_out] += own_weights
            biases[column[d] : column[d] + n_out] += own_biases
            if d > 0:
                row[d] += n_in
            if d < depth - 2:
                column[d] += n_out
    return merged


@njit(cache=True)
def activation(kind: int, z: float) -> tuple[float, float]:
    """Value and slope of an activation function."""
    if kind == TANH:
        y = math.tanh(z)
        return y, 1.0 - y * y
    if kind == IDENTITY:
        return z, 1.0
    if kind in (LOGISTIC, REVERSED_LOGISTIC):
        y = 0.5 + 0.5 * math.tanh(0.5 * z)
        return (y, y * (1.0 - y)) if kind == LOGISTIC else (1.0 - y, -y * (1.0 - y))
    if kind == SOFTPLUS:
        return max(z, 0.0) + math.log1p(math.exp(-abs(z))), 0.5 + 0.5 * math.tanh(0.5 * z)
    if kind == RELU:
        return (z, 1.0) if z > 0.0 else (0.0, 0.0)
    if kind == GAUSS:
        y = math.exp(-0.5 * z * z)
        return y, -z * y
    if kind == COSINE:
        return math.cos(z), -math.sin(z)
    if kind == EXPONENTIAL:
        y = math.exp(-z)
        return y, -y
    return z * z, 2.0 * z


@njit(cache=True, fastmath={"contract"})
def energy_and_gradient(
    sizes: Integers, kinds: Integers, parameters: Array, inputs: Array, gradient: Array
) -> float:
    """Output of a network; its derivatives with respect to the ``inputs`` (n,) are left in ``gradient`` (n,)."""
    n_layers = kinds.shape[0]
    widest = 0
    for layer in range(sizes.shape[0]):
        widest = max(widest, sizes[layer])
    y, slopes = np.empty(widest), np.zeros((n_layers, widest))
    for j in range(sizes[0]):
        y[j] = inputs[j]
    z = np.empty(widest)
    begin = 0
    for layer in range(n_layers):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        biases = parameters[begin + n_in * n_out : begin + (n_in + 1) * n_out]
        for k in range(n_out):
            z[k] = biases[k]
        for j in range(n_in):
            row = parameters[begin + j * n_out : begin + (j + 1) * n_out]
            for k in range(n_out):
                z[k] += y[j] * row[k]
        for k in range(n_out):
            y[k], slopes[layer, k] = activation(kinds[layer], z[k])
        begin += (n_in + 1) * n_out
    energy = y[0]
    z[0] = 1.0
    for back in range(n_layers):
        layer = n_layers - 1 - back
        n_in, n_out = sizes[layer], sizes[layer + 1]
        begin -= (n_in + 1) * n_out
        for k in range(n_out):
            y[k] = z[k] * slopes[layer, k]
        for j in range(n_in):
            total = 0.0
            row = parameters[begin + j * n_out : begin + (j + 1) * n_out]
            for k in range(n_out):
                total += row[k] * y[k]
            z[j] = total
    for j in range(sizes[0]):
        gradient[j] = z[j]
    return energy
