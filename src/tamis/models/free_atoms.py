"""Energies of free atoms: those of isolated atoms in the data set, else those that fit the energies best.

The functions of a basis need not vanish for a free atom: SOAP has a self term, SNAP's first component is a constant.
Where an isolated atom fixes the energy E_0 of its element, the energy of a structure is

    E = sum over atoms of (E_0 + f(surroundings) - f(none)),

which is E_0 for the free atom, whatever the coefficients. The columns of f(none) are subtracted before the fit; what
the potential's files call the energy of the free atom is then E_0 - f(none). Networks are tied to free atoms after
their training (``nnp.tie``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.base import LinearBasis
from tamis.data.dataset import Dataset
from tamis.store import Store

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FreeAtoms:
    """Free atoms of n elements.

    energies: (n,) eV. fixed: (n,) True where an isolated atom has this energy; else a fit may change it.
    values: (n, K), f(none) of the basis functions, for elements that are fixed; 0 for the others.
    """

    energies: Array
    fixed: Mask
    values: Array

    @classmethod
    def of(
        cls, dataset: Dataset, elements: Sequence[str], known: Mapping[str, float], per_atom: bool = False
    ) -> FreeAtoms:
        """``known`` energies by element, eV, and for other elements those that fit ``dataset`` best; no values yet."""
        fixed = np.array([element in known for element in elements], dtype=np.bool_)
        energies = free_atom_energies(dataset, elements, known, per_atom)
        return cls(energies, fixed, np.zeros((len(elements), 0)))

    @classmethod
    def fitted(cls, energies: Array) -> FreeAtoms:
        """Energies (n,), eV, all of which a fit may change."""
        return cls(energies, np.zeros(len(energies), dtype=np.bool_), np.zeros((len(energies), 0)))

    def on(self, basis: LinearBasis, store: Store) -> FreeAtoms:
        """With the values of the free atoms that are fixed."""
        values = np.zeros((len(self.fixed), basis.n_features))
        atoms = [Atoms(basis.elements[i]) for i in np.flatnonzero(self.fixed)]
        for i, rows in zip(np.flatnonzero(self.fixed), store.stream(basis, atoms), strict=True):
            values[i] = rows.energy
        return replace(self, values=values)

    @property
    def n_open(self) -> int:
        """How many elements have an energy that the fit may change."""
        return int((~self.fixed).sum())

    def rows(self, counts: Array) -> Iterator[Array | float]:
        """f(none) summed over the atoms of structures with so many of each element (n_structures, n), each (K,)."""
        return (row @ self.values if self.fixed.any() else 0.0 for row in counts)

    def offsets(self, coefficients: Array, change: Array) -> Array:
        """What is added to the functions' energy of each atom, (n,) eV.

        coefficients : (K,) of the functions. change : (n_open,) eV, what the fit adds to the energies that are open.
        """
        offsets = self.energies - (self.values @ coefficients if self.fixed.any() else 0.0)
        offsets[~self.fixed] += change
        return offsets


def element_counts(structures: Iterable[Atoms], elements: Sequence[str]) -> Array:
    """Number of atoms of each element in each structure, (n, n_elements)."""
    numbers = [atomic_numbers[element] for element in elements]
    return np.array([np.bincount(atoms.numbers, minlength=119)[numbers] for atoms in structures], dtype=float)


def free_atom_energies(
    dataset: Dataset,
    elements: Sequence[str],
    known: Mapping[str, float] | None = None,
    per_atom: bool = False,
) -> Array:
    """Energies per element, eV: those that are ``known``, and else those that fit the total energies best.

    By the structures' weights of energies; of least norm where the composition is fixed.

    per_atom: fit the energies per atom instead; for one element their mean.
    """
    known = known or {}
    found = np.array([known.get(element, 0.0) for element in elements])
    counts = element_counts(dataset.structures, elements)
    energies = dataset.energies - counts @ found
    if per_atom:
        counts, energies = counts / dataset.n_atoms[:, None], energies / dataset.n_atoms
    roots = np.sqrt(dataset.label_weights[:, 0])
    fitted = np.array([element not in known for element in elements])
    if fitted.any():
        found[fitted] = np.linalg.lstsq(counts[:, fitted] * roots[:, None], energies * roots, rcond=None)[0]
    return found
