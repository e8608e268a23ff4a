"""Training data of networks, gathered from the store: inputs of all atoms, their derivatives, and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.bases.gradients import NORMAL_STRAINS, SHEAR_STRAINS, GradientBasis
from tamis.data.dataset import Dataset
from tamis.models.free_atoms import element_counts
from tamis.models.nnp.whitening import Whitening
from tamis.store import Store

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GradientTriples:
    """Triples of gradients of a structure's energy: by an atom's position, or by three strains.

    structure: (n,) the structure. of_strain: (n,) True for strains.
    start: (n, n_elements + 1), atoms: (n_entries,), directions: (n_entries, 3, m): see
    ``jacobian.gradient_rows``; atoms are numbered through all structures.
    target: (n, 3): minus the forces, eV/Å, or strain derivatives per atom, eV; NaN where there is no label.
    """

    structure: Integers
    of_strain: NDArray[np.bool_]
    start: Integers
    atoms: Integers
    directions: Single
    target: Array


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Structures as the input of networks.

    start: (n_structures + 1,) where the atoms of each begin. species: (n_atoms,) index of the element.
    inputs: (n_atoms, m), as ``whitenings`` of each element make them from symmetry functions.
    energies: (n_structures,) eV, less the free-atom energies. groups: gradients.
    weights: (n_structures, 3) of energies, forces, stresses.
    """

    start: Integers
    species: Integers
    inputs: Single
    energies: Array
    groups: GradientTriples
    weights: Array
    whitenings: Sequence[Whitening]

    @property
    def n_atoms(self) -> Integers:
        """Atoms of each structure, (n_structures,)."""
        return np.diff(self.start)


def own_values(basis: GradientBasis, blocks: Iterable[Array], species: Integers) -> Array:
    """The functions of each atom's own element, (n_atoms, n_per_element); blocks: the values of each structure."""
    values, done = np.empty((len(species), basis.n_per_element)), 0
    for block in blocks:
        rows = slice(done, done := done + len(block))
        by_element = block.reshape(len(block), len(basis.elements), basis.n_per_element)
        values[rows] = by_element[np.arange(len(block)), species[rows]]
    return values


def species_of(dataset: Dataset, elements: Sequence[str]) -> Integers:
    """Index of the element of every atom of every structure, (n_atoms,)."""
    symbols = [symbol for atoms in dataset.structures for symbol in atoms.get_chemical_symbols()]
    return np.array([elements.index(symbol) for symbol in symbols], dtype=np.int64)


def gather(
    dataset: Dataset,
    basis: GradientBasis,
    store: Store,
    offsets: Array,
    whitenings: Sequence[Whitening] | None = None,
) -> TrainingData:
    """Read the rows of ``dataset`` from the store and whiten them, by their own spread if ``whitenings`` is None.

    offsets: (n_elements,) eV. The memory of the rows is reserved, and the caller's to hold.

    Raises
    ------
    TamisError : the rows do not fit into memory.
    """
    species = species_of(dataset, basis.elements)
    start = np.concatenate([[0], np.cumsum(dataset.n_atoms)]).astype(np.int64)
    inputs, whitenings = _gather_inputs(dataset, basis, store, species, whitenings)
    energies = dataset.energies - element_counts(dataset.structures, basis.elements) @ offsets
    groups = _gather_groups(dataset, basis, store, species, start, whitenings)
    return TrainingData(start, species, inputs, energies, groups, dataset.label_weights, whitenings)


def _gather_inputs(
    dataset: Dataset,
    basis: GradientBasis,
    store: Store,
    species: Integers,
    whitenings: Sequence[Whitening] | None,
) -> tuple[Single, Sequence[Whitening]]:
    inputs = np.empty((len(species), basis.n_per_element), dtype=np.float32)
    store.memory.reserve(inputs.nbytes, f"inputs of networks for {len(species)} atoms")
    with store.memory.holding():
        # values of all atoms, and four times as much for what is made of them on the way
        n_bytes = 5 * 8 * basis.n_per_element * len(species)
        store.memory.reserve(n_bytes, f"values of {type(basis).__name__} for {len(species)} atoms")
        values = own_values(basis, store.lazy_values(basis, dataset.structures), species)
        if whitenings is None:
            whitenings = [Whitening.of(values[species == e]) for e in range(len(basis.elements))]
        for element, whitening in enumerate(whitenings):
            rows = species == element
            inputs[rows] = whitening.inputs(values[rows])
    return inputs, whitenings


def _gather_groups(
    dataset: Dataset,
    basis: GradientBasis,
    store: Store,
    species: Integers,
    start: Integers,
    whitenings: Sequence[Whitening],
) -> GradientTriples:
    # read twice (count, then fill): keeping them would double the peak memory
    n_elements, n_entries = len(whitenings), sum(map(len, store.gradients(basis, dataset.structures)))
    title = f"gradients of {type(basis).__name__} for {len(dataset)} structures"
    store.memory.reserve((12 * basis.n_per_element + 8) * n_entries, title)
    directions = np.empty((n_entries, 3, basis.n_per_element), dtype=np.float32)
    atoms = np.empty(n_entries, dtype=np.int64)
    structures, of_strain, starts, targets = [], [], [], []
    done = 0
    for i, block in enumerate(store.gradients(basis, dataset.structures)):
        n = int(dataset.n_atoms[i])
        element = species[start[i] + block["centre"]]
        order = np.lexsort((element, block["moved"])) if n_elements > 1 else np.arange(len(block))
        moved, element = block["moved"][order], element[order]
        # entries of one group and element lie together: their number tells where each such part begins
        numbers = np.array([SHEAR_STRAINS, NORMAL_STRAINS, *range(n)])
        part = (moved - SHEAR_STRAINS).astype(np.int64) * n_elements + element
        ends = np.cumsum(np.bincount(part, minlength=len(numbers) * n_elements)).reshape(-1, n_elements)
        begins = np.concatenate([[0], ends[:-1, -1]])
        starts.append(done + np.concatenate([begins[:, None], ends], axis=1))
        atoms[done : done + len(block)] = start[i] + block["centre"][order]
        derivatives = block["derivative"] if n_elements == 1 else block["derivative"][order]
        for e, whitening in enumerate(whitenings):
            if (rows := np.flatnonzero(element == e)).size:
                white = whitening.directions(derivatives[rows].reshape(3 * len(rows), -1))
                directions[done + rows] = white.reshape(len(rows), 3, -1)
        structures.append(np.full(len(numbers), i))
        of_strain.append(numbers < 0)
        strain = dataset.stresses[i] * (dataset.volumes[i] / n)
        targets.append(np.concatenate([[strain[3:], strain[:3]], -dataset.forces[i]]))
        done += len(block)
    return GradientTriples(
        np.concatenate(structures),
        np.concatenate(of_strain),
        np.concatenate(starts).astype(np.int64),
        atoms,
        directions,
        np.concatenate(targets),
    )
