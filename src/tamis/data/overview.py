"""What is in a data set, in numbers: sizes, and ranges of energies, forces and stresses by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.checks import energy_residuals, largest_stress
from tamis.data.dataset import Dataset
from tamis.data.sources.spacing import spacing_of_structure

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
MOST = 5000
"""Structures whose volumes are worked out, evenly spread over each group."""
Range = tuple[float, float]
"""Smallest and largest finite value; NaN: there is none."""


@dataclass(frozen=True)
class OfGroup:
    """Of the structures of one group.

    atoms : in all structures. sizes : atoms in one structure. energy : eV/atom. volume : that an atom fills, Å³.
    force : root mean square of components, eV/Å. largest_force : eV/Å. stress : largest component, GPa.
    """

    name: str
    structures: int
    atoms: int
    sizes: Range
    energy: Range
    volume: Range
    force: float
    largest_force: float
    stress: float
    without_forces: int
    without_stress: int


@dataclass(frozen=True, eq=False)
class Overview:
    """Of a data set.

    energies : (n,), eV/atom; above the best sum of one energy per element if ``by_element``, so that structures of
        different compositions can be compared.
    volumes : (n,) that an atom fills, Å³; NaN: undefined, or not worked out.
    forces : for each structure the lengths of its forces, eV/Å; empty without labels.
    compositions : number of different ones.
    """

    dataset: Dataset
    energies: Array
    by_element: bool
    volumes: Array
    forces: Sequence[Array]
    compositions: int

    @classmethod
    def of(cls, dataset: Dataset) -> Overview:
        """Of structures whose numbers may be broken."""
        energies = dataset.energies / np.maximum(dataset.n_atoms, 1)
        formulas = {atoms.get_chemical_formula(empirical=True) for atoms in dataset.structures}
        known = np.isfinite(energies)
        by_element = len(formulas) > 1 and bool(known.any())
        if by_element:
            above = np.full(len(dataset), np.nan)
            above[known] = energy_residuals(dataset.subset(np.flatnonzero(known)))
            energies = above
        volumes = np.full(len(dataset), np.nan)
        for i in _spread_over_groups(dataset.groups):
            volumes[i] = spacing_of_structure(dataset.structures[i])[1] ** 3
        lengths = [np.linalg.norm(forces, axis=-1).ravel() for forces in dataset.forces]
        return cls(
            dataset,
            energies,
            by_element,
            volumes,
            [length[np.isfinite(length)] for length in lengths],
            len(formulas),
        )

    def members(self, group: str) -> Indices:
        """Indices of the structures of a group."""
        return np.flatnonzero(np.array(self.dataset.groups) == group)

    def groups(self) -> list[OfGroup]:
        """Each group, the largest first."""
        names = sorted(set(self.dataset.groups), key=lambda name: (-len(self.members(name)), name))
        return [self._of(name, self.members(name)) for name in names]

    def whole(self) -> OfGroup:
        """All structures."""
        return self._of("all structures", np.arange(len(self.dataset)))

    def _of(self, name: str, members: Indices) -> OfGroup:
        n_atoms = self.dataset.n_atoms[members]
        forces = np.concatenate([self.forces[i] for i in members])
        stresses = self.dataset.stresses[members]
        return OfGroup(
            name=name,
            structures=len(members),
            atoms=int(n_atoms.sum()),
            sizes=_range(n_atoms),
            energy=_range(self.energies[members]),
            volume=_range(self.volumes[members]),
            force=float(np.sqrt(np.mean(forces**2) / 3.0)) if len(forces) else np.nan,
            largest_force=_range(forces)[1],
            stress=float(largest_stress(self.dataset)[members].max() * GPA_PER_EV_PER_A3),
            without_forces=sum(not len(self.forces[i]) for i in members),
            without_stress=int(np.isnan(stresses).any(axis=1).sum()),
        )

    def atoms_of_elements(self) -> Iterator[tuple[str, int]]:
        """Symbol and number of atoms of each element."""
        symbols = [symbol for atoms in self.dataset.structures for symbol in atoms.get_chemical_symbols()]
        for symbol, count in zip(*np.unique(np.array(symbols, dtype=str), return_counts=True), strict=True):
            yield str(symbol), int(count)


def _spread_over_groups(groups: Sequence[str]) -> Iterator[int]:
    """Indices of about MOST structures, some of each group."""
    step = -(-len(groups) // MOST)
    by_group: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        by_group.setdefault(group, []).append(i)
    for members in by_group.values():
        yield from members[::step]


def _range(values: NDArray[np.number]) -> Range:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
