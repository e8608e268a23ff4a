"""Gives free atoms the energies that isolated atoms have, without a change to what networks have learnt.

Seen from the atoms of the training set, whose inputs have mean 0 and variance 1, a free atom is some hundred units
away: what a network gives there is chance. One more neuron in each hidden layer tells the two apart. It is +1 for all
atoms of the training set, to 1e-8, and -1 for the free atom, and changes its sign half-way between them, over as long a
way as there is. Its share of the energy is what is missing at the free atom, and 0 on the training set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.models.nnp.data import Single, TrainingData
from tamis.models.nnp.network import Network, n_parameters
from tamis.models.nnp.potential import NnpPotential
from tamis.models.nnp.whitening import Whitening

Array = NDArray[np.float64]

SATURATED = 10.0
"""Argument of tanh, which is 1 to 4e-9 from there on."""
NEAREST = 0.9
"""Of the way to the free atom: atoms that are nearer are free themselves, and the networks have learnt their energy."""


def tied(potential: NnpPotential, data: TrainingData, energies: Mapping[str, float]) -> NnpPotential:
    """``potential`` with ``energies`` (eV) of free atoms by element, and as it was for atoms like those of ``data``.

    An element stays as it is where its symmetry functions do not tell a free atom from the training set.
    """
    elements = potential.table.elements
    for e, element in enumerate(elements):
        if element not in energies:
            continue
        missing = energies[element] - potential.calculator().get_property("energy", Atoms(element))
        inputs = data.inputs[data.species == e]
        network = with_step(potential.networks[e], data.whitenings[e], inputs, missing)
        # what files call the energy of the free atom is then its energy
        network = shifted(network, potential.offsets[e] - energies[element])
        offsets = np.where(np.arange(len(elements)) == e, energies[element], potential.offsets)
        networks = (*potential.networks[:e], network, *potential.networks[e + 1 :])
        potential = replace(potential, networks=networks, offsets=offsets)
    return potential


def with_step(network: Network, whitening: Whitening, inputs: Single, missing: float) -> Network:
    """``network`` with one more neuron in each hidden layer, which adds ``missing`` (eV) for a free atom.

    Parameters
    ----------
    network : of scaled symmetry functions, all of its hidden layers tanh.
    inputs : of the atoms of the training set, (n_atoms, m).
    """
    if len(inputs) == 0:
        return shifted(network, missing)
    # functions that are constant in the training set, which inputs leave out, tell most
    spread = whitening.transform + np.diag(~whitening.transform.any(axis=1))
    far = (-whitening.scaling.mean / whitening.scaling.sigma) @ spread  # all functions of a free atom are 0
    length = float(np.linalg.norm(far))
    reached = float((inputs @ far).max()) / length if length > 0.0 else 0.0
    if reached >= NEAREST * length:
        return network
    steepness = 2.0 * SATURATED / (length - reached)
    sizes = (network.sizes[0], *(n + 1 for n in network.sizes[1:-1]), 1)
    larger = Network(sizes, network.activations, np.zeros(n_parameters(sizes)))
    for (weights, biases), (old, old_biases) in zip(larger.layers(), network.layers(), strict=True):
        weights[: old.shape[0], : old.shape[1]] = old
        biases[: len(old_biases)] = old_biases
    (first, biases), *inner, (last, bias) = larger.layers()
    first[:, -1] = -steepness / length * (spread @ far)
    biases[-1] = SATURATED + steepness * reached
    for weights, _ in inner:
        weights[-1, -1] = SATURATED
    last[-1, 0], bias[0] = -0.5 * missing, bias[0] + 0.5 * missing
    return larger


def shifted(network: Network, energy: float) -> Network:
    """``network`` with ``energy`` (eV) more for every atom."""
    return replace(network, parameters=np.append(network.parameters[:-1], network.parameters[-1] + energy))
