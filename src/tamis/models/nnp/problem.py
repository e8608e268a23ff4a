"""The least-squares problem of training networks: energies of all structures, a random part of the gradients.

The loss is the one of the linear models (``normal_equations``), a weighted sum of mean squares over labelled rows,

    w_E² <(dE / N)²> + <dF²> + w_S² <(V dσ / N)²>,

each mean weighted by the structures' weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from tamis.models.nnp.data import Array, Integers, Single, TrainingData
from tamis.models.nnp.jacobian import energy_rows, forward_and_back, gradient_rows, gradients
from tamis.models.nnp.network import n_parameters
from tamis.models.normal_equations import Weights

WORK = 5.3e8
"""Multiplications that the algebra of an iteration may take for each row per parameter: its cost at 810 parameters."""
CHUNK = 500
"""Groups whose rows are held at a time; sums within a chunk are in single, over chunks in double precision."""
ROWS_AT_ONCE = 3 * CHUNK
"""Rows of these."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Networks with some ``parameters`` (P,): energies of the structures, eV, and all layers of their atoms.

    nodes, deltas: see ``jacobian.forward_and_back``.
    """

    parameters: Array
    energies: Array
    nodes: Single
    deltas: Single


@dataclass(frozen=True, eq=False)
class NetworkProblem:
    """Networks of one shape, one per element, on some structures of ``data``.

    sizes: neurons of each layer. structures: those trained on, or judged by. weights: of the loss.
    """

    sizes: tuple[int, ...]
    data: TrainingData
    structures: Integers
    weights: Weights

    def evaluate(self, parameters: Array) -> Evaluation:
        """Run the networks on all atoms of the structures."""
        data, own = self.data, self._per_element(parameters)
        nodes, deltas = (np.empty((len(data.species), sum(self.sizes)), dtype=np.float32) for _ in range(2))
        for element, atoms in enumerate(self._atoms):
            forward_and_back(self.sizes, own[element], data.inputs, atoms, nodes, deltas)
        atoms, structure = self._members
        energies = np.bincount(structure, nodes[atoms, -1], len(self.structures)).astype(float)
        return Evaluation(parameters, energies, nodes, deltas)

    def draw(self, rng: np.random.Generator, rows_per_parameter: float) -> Integers:
        """Groups of gradients: as many of forces as asked for, the same fraction of those of strains.

        rows_per_parameter: force rows, for each parameter. Fewer where their products would take more than ``WORK``,
            as with the parameters of several elements; infinity: all.
        """
        force, strain = self._pools
        rows = min(rows_per_parameter * self.n_parameters, self._affordable_rows(rows_per_parameter))
        wanted = max(1.0, rows / 3)
        fraction = min(1.0, wanted / max(len(force), 1))
        chosen = [
            rng.permutation(pool)[: int(np.ceil(fraction * len(pool)))] if fraction < 1.0 else pool
            for pool in (force, strain)
        ]
        return np.sort(np.concatenate(chosen))

    def loss(self, at: Evaluation, part: Integers) -> float:
        """|r|² of the energies and the chosen groups."""
        energy, gradient = self._residuals(at, part)
        return float(energy @ energy + np.sum(gradient**2))

    def n_rows(self, part: Integers) -> int:
        """Energies of all structures, three components of each chosen group."""
        return len(self.structures) + 3 * len(part)

    def normal_equations(self, at: Evaluation, part: Integers) -> tuple[float, Array, Array]:
        """|r|², J'J (upper triangle) and J'r."""
        gram, moment, loss = np.zeros((self.n_parameters,) * 2), np.zeros(self.n_parameters), 0.0
        for rows, residuals in self._rows(at, part):
            gram += blas.ssyrk(1.0, rows.T)
            moment += rows.T @ residuals.astype(np.float32)
            loss += float(residuals @ residuals)
        return loss, gram, moment

    def jacobian(self, at: Evaluation, part: Integers) -> tuple[Single, Array]:
        """J (n_rows, n_parameters) and r."""
        jacobian = np.empty((self.n_rows(part), self.n_parameters), dtype=np.float32)
        residuals, done = np.empty(len(jacobian)), 0
        for rows, found in self._rows(at, part):
            chunk = slice(done, done := done + len(found))
            jacobian[chunk], residuals[chunk] = rows, found
        return jacobian, residuals

    def _rows(self, at: Evaluation, part: Integers) -> Iterator[tuple[Single, Array]]:
        """Weighted rows of J and their residuals: the energies', then those of one chunk of groups after the other."""
        energy, gradient = self._residuals(at, part)
        (sizes, first), own, data = self._layout, self._per_element(at.parameters), self.data
        rows = np.empty((len(self.structures), self.n_parameters), dtype=np.float32)
        energy_rows(
            self.sizes, self.structures, data.start, data.species, self._n_elements, at.nodes, at.deltas, rows
        )
        rows *= self._energy_factors[:, None].astype(np.float32)
        yield rows, energy
        # gradients by strains are compared per atom
        factors = (self._group_factors(part) / self._divisors(part)[:, None]).astype(np.float32)
        groups = data.groups
        for begin in range(0, len(part), CHUNK):
            some = part[begin : begin + CHUNK]
            rows = np.empty((3 * len(some), self.n_parameters), dtype=np.float32)
            gradient_rows(
                sizes,
                own,
                first,
                some,
                groups.start,
                groups.atoms,
                groups.directions,
                at.nodes,
                at.deltas,
                rows,
            )
            rows *= factors[begin : begin + CHUNK].reshape(-1, 1)
            yield rows, gradient[begin : begin + CHUNK].ravel()

    def mean_squares(self, parameters: Array) -> tuple[Array, Array]:
        """Weighted sums of squares, and sums of weights, of energies per atom, forces, strain derivatives per atom.

        Both (3,).
        """
        at, structures, groups = self.evaluate(parameters), self.structures, self.data.groups
        chosen = np.flatnonzero(np.isin(groups.structure, structures))
        residuals = self._gradients(at.deltas, chosen) - groups.target[chosen]
        kinds = [(at.energies - self.data.energies[structures]) / self.data.n_atoms[structures]]
        weights = [self.data.weights[structures, 0]]
        for strain in (False, True):
            of_kind = groups.of_strain[chosen] == strain
            given = np.isfinite(residuals[of_kind])
            kinds.append(residuals[of_kind][given])
            weights.append(np.repeat(self._group_weights[chosen][of_kind], given.sum(axis=1)))
        squares = [np.sum(weight * kind**2) for weight, kind in zip(weights, kinds, strict=True)]
        return np.array(squares), np.array([weight.sum() for weight in weights])

    @property
    def n_parameters(self) -> int:
        """Of the networks of all elements."""
        return self._n_own * self._n_elements

    def _affordable_rows(self, rows_per_parameter: float) -> float:
        """n rows of P parameters take n P² multiplications in the space of the parameters, n² P in that of the rows."""
        if np.isinf(rows_per_parameter):
            return np.inf
        n, work = self.n_parameters, rows_per_parameter * WORK
        return work / n**2 if n**3 <= work else float(np.sqrt(work / n))

    @property
    def _n_own(self) -> int:
        return n_parameters(self.sizes)

    @property
    def _n_elements(self) -> int:
        return self.data.groups.start.shape[1] - 1

    @cached_property
    def _layout(self) -> tuple[Integers, Integers]:
        sizes = np.array(self.sizes, dtype=np.int64)
        return sizes, np.concatenate([[0], np.cumsum(sizes)[:-1]])

    @cached_property
    def _pools(self) -> tuple[Integers, Integers]:
        """Groups of forces, and of strains, with a label of which the weight is not 0."""
        groups = self.data.groups
        used = np.isin(groups.structure, self.structures) & np.isfinite(groups.target).any(axis=1)
        used &= self._group_weights > 0.0
        return np.flatnonzero(used & ~groups.of_strain), np.flatnonzero(used & groups.of_strain)

    @cached_property
    def _group_weights(self) -> Array:
        """Weight of each group's label, (n_groups,)."""
        return self.data.weights[self.data.groups.structure, np.where(self.data.groups.of_strain, 2, 1)]

    @cached_property
    def _energy_factors(self) -> Array:
        weights = self.data.weights[self.structures, 0]
        return self.weights.energy / self.data.n_atoms[self.structures] * _shares(weights)

    def _group_factors(self, part: Integers) -> Array:
        """What multiplies each gradient's residual, (len(part), 3); 0 where there is no label."""
        groups = self.data.groups
        weights = np.isfinite(groups.target[part]) * self._group_weights[part][:, None]
        strain = groups.of_strain[part]
        factors = np.zeros(weights.shape)
        for chosen, weight in ((~strain, 1.0), (strain, self.weights.stress)):
            factors[chosen] = weight * _shares(weights[chosen])
        return factors

    def _per_element(self, parameters: Array) -> Single:
        return parameters.astype(np.float32).reshape(self._n_elements, self._n_own)

    @cached_property
    def _members(self) -> tuple[Integers, Integers]:
        """Atoms of the structures, and the number of each one's structure among these."""
        start, counts = self.data.start[self.structures], self.data.n_atoms[self.structures]
        structure = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(structure)) - np.repeat(np.cumsum(counts) - counts, counts)
        return start[structure] + within, structure

    @cached_property
    def _atoms(self) -> list[Integers]:
        """Atoms of the structures, element by element."""
        atoms, _ = self._members
        return [atoms[self.data.species[atoms] == element] for element in range(self._n_elements)]

    def _gradients(self, deltas: Single, part: Integers) -> Array:
        """Gradients of the chosen groups, those by strains per atom."""
        groups = self.data.groups
        found = gradients(part, groups.start, groups.atoms, groups.directions, deltas)
        return found / self._divisors(part)[:, None]

    def _divisors(self, part: Integers) -> Array:
        """Number of atoms for strains, 1 for forces, (len(part),)."""
        groups = self.data.groups
        return np.where(groups.of_strain[part], self.data.n_atoms[groups.structure[part]], 1.0)

    def _residuals(self, at: Evaluation, part: Integers) -> tuple[Array, Array]:
        energy = (at.energies - self.data.energies[self.structures]) * self._energy_factors
        target = np.nan_to_num(self.data.groups.target[part])
        return energy, (self._gradients(at.deltas, part) - target) * self._group_factors(part)


def _shares(weights: Array) -> Array:
    """Factors of residuals whose sum of squares is then the mean by these weights; 0 where all weights are."""
    total = weights.sum()
    return np.asarray(np.sqrt(weights) / np.sqrt(total if total > 0.0 else 1.0))


def first_parameters(sizes: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Random weights for inputs of unit variance: each argument of a layer has about unit variance, the energy 0.1."""
    parts: list[Array] = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        parts.append(rng.normal(scale=(0.1 if last else 1.0) / np.sqrt(n_in), size=n_in * n_out))
        parts.append(np.zeros(n_out) if last else rng.normal(scale=0.5, size=n_out))
    return np.concatenate(parts)
