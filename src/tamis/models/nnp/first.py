"""The first parameters of networks, from which a training starts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tamis.models.nnp.network import split_layers
from tamis.models.nnp.problem import NetworkProblem

Array = NDArray[np.float64]

SATURATED = 3.0
"""Argument of tanh for the structures, and minus that of the free atom: its slope there is 0.01 of the largest."""


def first_parameters(sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Random weights for inputs of unit variance: each argument of a layer has about unit variance, the energy 0.1."""
    parts: list[Array] = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        parts.append(rng.normal(scale=(0.1 if last else 1.0) / np.sqrt(n_in), size=n_in * n_out))
        parts.append(np.zeros(n_out) if last else rng.normal(scale=0.5, size=n_out))
    return np.concatenate(parts)


def bound(problem: NetworkProblem, parameters: Array) -> Array:
    """``parameters`` with which structures are bound, in the mean as the labels say, where free atoms are fixed.

    Seen from the structures (inputs of mean 0 and variance 1) a free atom is some hundred units away, and several eV
    above. No training finds such a step from random weights. So the first neuron of each layer is spent on it: it
    changes its sign half-way between the two, over all of that distance, and is nearly constant on the structures.
    """
    data, structures = problem.data, problem.structures
    of_structures = data.n_fixed[structures]
    parameters, delta = parameters.copy(), SATURATED
    own = parameters.reshape(of_structures.shape[1], -1)
    bent = np.flatnonzero(of_structures.any(axis=0)).tolist()
    for e in bent:
        (weights, biases), *inner, (last, _) = split_layers(problem.sizes, own[e])
        weights[:, 0] = -2.0 * SATURATED * data.alone[e] / np.sum(data.alone[e] ** 2)
        biases[0] = SATURATED
        for weights, biases in inner:
            weights[:, 0], biases[0] = 0.0, 0.0
            weights[0, 0] = 1.0
        last[0, 0] = 0.0
    for _ in problem.sizes[1:-1]:
        delta = np.tanh(delta)
    missing = data.energies[structures] - problem.energies(parameters, structures)
    steps = np.linalg.lstsq(of_structures, missing, rcond=None)[0]
    for e in bent:
        *_, (last, _) = split_layers(problem.sizes, own[e])
        last[0, 0] = steps[e] / (2.0 * delta)
    return parameters
