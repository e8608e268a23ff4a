"""The labels of a data set compared with each other through a rough potential."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.geometry import occupied_cell
from tamis.data.dataset import Dataset
from tamis.data.plausibility.distances import radius
from tamis.data.plausibility.quick_basis import QuickBasis
from tamis.data.plausibility.scales import Scale, gram, scale_between

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST_ATOMS = 1500
"""Of all structures that are looked at together; one more structure may exceed it."""
MOST_ELEMENTS = 8
FEWEST_STRUCTURES = 4
FEWEST_ENERGIES = 6
"""Energy differences that are needed before anything is concluded from energies."""
MOST_NEIGHBOURS = 100
"""Of an atom, on average."""
REACH = 1.8
"""Of the rough potential, in the largest bond length."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of a few structures, in two folds; labels may be transformed before they are compared.

    dataset : the structures that are looked at. folds : their indices.
    rows : energy, forces and strain derivative of each (see QuickBasis.rows).
    """

    dataset: Dataset
    folds: tuple[Indices, Indices]
    rows: tuple[tuple[Array, Array, Array], ...]

    @classmethod
    def of(cls, dataset: Dataset, bond: float) -> Comparison | None:
        """Of a part of ``dataset``; None where it is too small, or has too many elements.

        Parameters
        ----------
        bond : usual distance of nearest neighbours over the sum of their radii.
        """
        if not 0 < len(dataset.elements) <= MOST_ELEMENTS:
            return None
        sample = dataset.subset(few(dataset))
        if len(sample) < FEWEST_STRUCTURES:
            return None
        numbers = tuple(sorted({int(z) for atoms in sample.structures for z in atoms.numbers}))
        largest = 2.0 * max(radius(z) for z in numbers)
        reach = affordable(sample.structures, REACH * bond * largest)
        basis = QuickBasis(numbers, reach, n_pair=max(2, 8 - 2 * (len(numbers) - 1)))
        dealt = fold_numbers(sample.structures)
        folds = np.flatnonzero(dealt == 0), np.flatnonzero(dealt == 1)
        return cls(sample, folds, tuple(basis.rows(atoms) for atoms in sample.structures))

    @cached_property
    def force_grams(self) -> list[Array]:
        """Of each fold."""
        return [
            gram(
                [
                    with_labels(self.rows[i][1].reshape(-1, self._width), self.dataset.forces[i].ravel())
                    for i in fold
                ]
            )
            for fold in self.folds
        ]

    def energy_grams(self, factors: Array | float = 1.0) -> list[Array]:
        """Of energies per atom, each multiplied by its entry of ``factors``: differences within a composition."""
        energies, n_atoms = self.dataset.energies * factors, self.dataset.n_atoms
        return [
            gram([differences(
                np.array([np.append(self.rows[i][0], energies[i]) / n_atoms[i] for i in fold]),
                [self.dataset.structures[i] for i in fold],
            )[0]])
            for fold in self.folds
        ]  # fmt: skip

    def stress_grams(self, factors: Array | float = 1.0) -> list[Array]:
        """Of strain derivatives per atom, each multiplied by its entry of ``factors``; only whole labels count."""
        per_atom = (self.dataset.volumes * factors / self.dataset.n_atoms)[:, None] * self.dataset.stresses
        return [
            gram([
                np.zeros((0, self._width + 1)),
                *(
                    with_labels(self.rows[i][2] / self.dataset.n_atoms[i], per_atom[i])
                    for i in fold
                    if np.isfinite(per_atom[i]).all()
                ),
            ])
            for fold in self.folds
        ]  # fmt: skip

    @cached_property
    def has_energies(self) -> bool:
        """Whether there are enough differences of energies in both folds."""
        known = [
            differences(np.zeros((len(fold), 1)), [self.dataset.structures[i] for i in fold])[1]
            for fold in self.folds
        ]
        return min(known) > 0 and sum(known) >= FEWEST_ENERGIES

    def energy_to_force(self, factors: Array | float = 1.0) -> Scale | None:
        """By how much energies are larger than forces suggest."""
        return scale_between(self.energy_grams(factors), self.force_grams) if self.has_energies else None

    def stress_to_force(self, factors: Array | float = 1.0) -> Scale | None:
        """By how much stresses are larger than forces suggest."""
        return scale_between(self.stress_grams(factors), self.force_grams)

    def stress_to_energy(self, factors: Array | float = 1.0) -> Scale | None:
        """By how much stresses are larger than energies suggest."""
        return scale_between(self.stress_grams(factors), self.energy_grams()) if self.has_energies else None

    def stress_to_both(self, factors: Array | float = 1.0) -> Scale | None:
        """By how much stresses are larger than energies and forces suggest together."""
        if not self.has_energies:
            return self.stress_to_force(factors)
        both = [0.5 * (e + f) for e, f in zip(self.energy_grams(), self.force_grams, strict=True)]
        return scale_between(self.stress_grams(factors), both)

    @property
    def _width(self) -> int:
        return len(self.rows[0][0])


def affordable(structures: Sequence[Atoms], reach: float) -> float:
    """``reach`` (Å), or less where a structure would have more than MOST_NEIGHBOURS on average."""
    densest = max(len(atoms) / abs(float(np.linalg.det(occupied_cell(atoms, reach)))) for atoms in structures)
    return min(reach, float(np.cbrt(MOST_NEIGHBOURS / (4.0 / 3.0 * np.pi * densest))))


def few(dataset: Dataset) -> Indices:
    """Structures evenly spaced over the set, sorted by composition, of about MOST_ATOMS atoms together."""
    n_atoms = dataset.n_atoms
    small = [i for i in range(len(dataset)) if n_atoms[i] <= MOST_ATOMS]
    order = sorted(small, key=lambda i: (dataset.structures[i].get_chemical_formula(), i))
    share = min(1.0, MOST_ATOMS / max(1.0, float(n_atoms[order].sum())))
    n = min(len(order), max(FEWEST_STRUCTURES, int(share * len(order))))
    places: Indices = (
        np.unique(np.linspace(0, len(order) - 1, n).astype(int)) if order else np.empty(0, dtype=np.intp)
    )
    return np.array([order[place] for place in places], dtype=np.intp)


def fold_numbers(structures: Sequence[Atoms]) -> Indices:
    """0 or 1 for each structure, in turn within a composition."""
    seen: dict[str, int] = defaultdict(int)
    dealt = []
    for atoms in structures:
        formula = atoms.get_chemical_formula()
        dealt.append((seen[formula] + len(seen)) % 2)
        seen[formula] += 1
    return np.array(dealt, dtype=np.intp)


def differences(rows: Array, structures: Sequence[Atoms]) -> tuple[Array, int]:
    """Rows (n, K) less what their composition explains, and how many of them are independent.

    Where most compositions occur more than once, less the mean of their own; else less the best sum over elements.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, atoms in enumerate(structures):
        members[atoms.get_chemical_formula()].append(i)
    shared = [group for group in members.values() if len(group) > 1]
    n_shared = sum(map(len, shared))
    if 2 * n_shared >= len(structures):
        parts = [rows[group] - rows[group].mean(axis=0) for group in shared]
        return np.concatenate([rows[:0], *parts]), n_shared - len(shared)
    numbers = sorted({int(z) for atoms in structures for z in atoms.numbers})
    fractions = np.array([[np.mean(atoms.numbers == z) for z in numbers] for atoms in structures])
    best, _, rank, _ = np.linalg.lstsq(fractions, rows, rcond=None)
    return rows - fractions @ best, len(rows) - int(rank)


def with_labels(rows: Array, labels: Array) -> Array:
    """Rows (n, K) with their labels (n,) as the last column."""
    return np.column_stack([rows, labels])
