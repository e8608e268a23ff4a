"""Gives free atoms the energies that isolated atoms have, without a change to what networks have learnt.

All symmetry functions of a free atom are 0, far from those of the training set: what a network gives there is chance.
One more neuron in each hidden layer tells the two apart by q, the sum of all functions over its mean in the training
set: about 1 there, and 0 for a free atom. With q_min the smallest q of the training set, the neuron is +1 from
MARGIN q_min on, to 1e-8, and -1 for q = 0, and changes its sign half-way. Its share of the energy is what is missing at
the free atom, and 0 on the training set and around it.
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
MARGIN = 0.75
"""Of the smallest q in the training set; test structures and MD go a little beyond it."""
LEAST = 1e-3
"""Of q: atoms with less are as good as free, and the networks have learnt their energy."""


def tied(potential: NnpPotential, data: TrainingData, energies: Mapping[str, float]) -> NnpPotential:
    """``potential`` with ``energies`` (eV) of free atoms by element, and as it was for atoms like those of ``data``.

    An element whose atoms in the training set are as good as free stays as it is, which becomes a problem.
    """
    elements = potential.table.elements
    for e, element in enumerate(elements):
        if element not in energies:
            continue
        missing = energies[element] - potential.calculator().get_property("energy", Atoms(element))
        inputs = data.inputs[data.species == e]
        network = with_step(potential.networks[e], data.whitenings[e], inputs, missing)
        if network is None:
            said = f"a free atom of {element} has not the energy of its label: kept atoms are as good as free"
            potential = replace(potential, problem="; ".join(filter(None, [potential.problem, said])))
            continue
        # what files call the energy of the free atom is then its energy
        network = shifted(network, potential.offsets[e] - energies[element])
        offsets = np.where(np.arange(len(elements)) == e, energies[element], potential.offsets)
        networks = (*potential.networks[:e], network, *potential.networks[e + 1 :])
        potential = replace(potential, networks=networks, offsets=offsets)
    return potential


def with_step(network: Network, whitening: Whitening, inputs: Single, missing: float) -> Network | None:
    """``network`` with one more neuron in each hidden layer, which adds ``missing`` (eV) for a free atom.

    None where the training set has atoms as good as free.

    Parameters
    ----------
    network : of scaled symmetry functions, all of its hidden layers tanh.
    inputs : of the atoms of the training set, (n_atoms, m).
    """
    mean = whitening.scaling.mean
    if not mean.any():  # no atom of this element, or only free ones
        return shifted(network, missing)
    slope = whitening.scaling.sigma / mean.sum()  # of q by the scaled functions
    least = 1.0 + float((inputs @ (np.linalg.pinv(whitening.transform) @ slope)).min())
    if least < LEAST:
        return None
    reached = MARGIN * least
    sizes = (network.sizes[0], *(n + 1 for n in network.sizes[1:-1]), 1)
    larger = Network(sizes, network.activations, np.zeros(n_parameters(sizes)))
    for (weights, biases), (old, old_biases) in zip(larger.layers(), network.layers(), strict=True):
        weights[: old.shape[0], : old.shape[1]] = old
        biases[: len(old_biases)] = old_biases
    (first, biases), *inner, (last, bias) = larger.layers()
    first[:, -1] = 2.0 * SATURATED / reached * slope
    biases[-1] = SATURATED * (2.0 / reached - 1.0)
    end = np.tanh(SATURATED)
    for weights, _ in inner:
        weights[-1, -1] = 1.0
        end = np.tanh(end)
    last[-1, 0], bias[0] = -0.5 * missing / end, bias[0] + 0.5 * missing
    return larger


def shifted(network: Network, energy: float) -> Network:
    """``network`` with ``energy`` (eV) more for every atom."""
    return replace(network, parameters=np.append(network.parameters[:-1], network.parameters[-1] + energy))
