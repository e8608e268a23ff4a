"""Compares the labels of a data set with each other through a rough potential."""

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
"""Atoms in the sample of structures, which one more structure may exceed."""
MOST_ELEMENTS = 8
FEWEST_STRUCTURES = 4
FEWEST_ENERGIES = 6
"""Energy differences that are needed to conclude anything from energies."""
MOST_NEIGHBOURS = 100
"""Average over the atoms of a structure."""
REACH = 1.8
"""Cutoff of the rough potential in units of the largest bond length."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of a sample of structures, in two folds.

    dataset : the sample. folds : indices of its structures.
    rows : energy, forces and strain derivative of each (see QuickBasis.rows).
    """

    dataset: Dataset
    folds: tuple[Indices, Indices]
    rows: tuple[tuple[Array, Array, Array], ...]

    @classmethod
    def of(cls, dataset: Dataset, bond: float) -> Comparison | None:
        """The comparison for a sample of ``dataset``; None if it is too small or has too many elements.

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
        """Sums of products (see ``scales.gram``) of force rows and labels, one for each fold."""
        forces, given = self.dataset.forces, self.dataset.has_forces
        return [self._gram([(self.rows[i][1], forces[i]) for i in fold if given[i]]) for fold in self.folds]

    def energy_grams(self, factors: Array | float = 1.0) -> list[Array]:
        """The same of energies per atom, each multiplied by its entry of ``factors``.

        Only differences within a composition count (see ``differences``).
        """
        energies, n_atoms = self.dataset.energies * factors, self.dataset.n_atoms
        return [
            gram([differences(
                np.array([np.append(self.rows[i][0], energies[i]) / n_atoms[i] for i in fold]),
                [self.dataset.structures[i] for i in fold],
            )[0]])
            for fold in self.folds
        ]  # fmt: skip

    def stress_grams(self, factors: Array | float = 1.0) -> list[Array]:
        """The same of strain derivatives per atom, each multiplied by its entry of ``factors``.

        Stresses without some component do not count.
        """
        n_atoms = self.dataset.n_atoms
        labels = (self.dataset.volumes * factors / n_atoms)[:, None] * self.dataset.stresses
        whole = np.asarray(np.isfinite(labels).all(axis=1))
        return [
            self._gram([(self.rows[i][2] / n_atoms[i], labels[i]) for i in fold if whole[i]])
            for fold in self.folds
        ]

    @cached_property
    def has_energies(self) -> bool:
        """Whether there are enough differences of energies in both folds."""
        known = [
            differences(np.zeros((len(fold), 1)), [self.dataset.structures[i] for i in fold])[1]
            for fold in self.folds
        ]
        return min(known) > 0 and sum(known) >= FEWEST_ENERGIES

    def energy_scale(self, factors: Array | float = 1.0) -> Scale | None:
        """How many times larger energies, multiplied by ``factors``, are than forces suggest."""
        return scale_between(self.energy_grams(factors), self.force_grams) if self.has_energies else None

    def stress_scale(self, others: str, factors: Array | float = 1.0) -> Scale | None:
        """How many times larger stresses, multiplied by ``factors``, are than energies, forces or both suggest."""
        references = self.force_grams
        if others == "energies":
            if not self.has_energies:
                return None
            references = self.energy_grams()
        elif others == "both" and self.has_energies:
            references = [0.5 * (e + f) for e, f in zip(self.energy_grams(), self.force_grams, strict=True)]
        return scale_between(self.stress_grams(factors), references)

    def _gram(self, parts: Sequence[tuple[Array, Array]]) -> Array:
        """``gram`` of rows, of any shape (..., K), and their labels (...)."""
        n_features = len(self.rows[0][0])
        blocks = [np.column_stack([rows.reshape(-1, n_features), labels.ravel()]) for rows, labels in parts]
        return gram([np.zeros((0, n_features + 1)), *blocks])


def affordable(structures: Sequence[Atoms], reach: float) -> float:
    """``reach`` (Å), or less where a structure would have more than MOST_NEIGHBOURS on average."""
    densest = max(len(atoms) / abs(float(np.linalg.det(occupied_cell(atoms, reach)))) for atoms in structures)
    return min(reach, float(np.cbrt(MOST_NEIGHBOURS / (4.0 / 3.0 * np.pi * densest))))


def few(dataset: Dataset) -> Indices:
    """Indices of structures with about MOST_ATOMS atoms together, evenly spaced over the set sorted by composition."""
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
    """0 or 1 for each structure, alternating within a composition."""
    seen: dict[str, int] = defaultdict(int)
    dealt = []
    for atoms in structures:
        formula = atoms.get_chemical_formula()
        dealt.append((seen[formula] + len(seen)) % 2)
        seen[formula] += 1
    return np.array(dealt, dtype=np.intp)


def differences(rows: Array, structures: Sequence[Atoms]) -> tuple[Array, int]:
    """Rows (n, K) minus the part that composition explains, and the number of independent ones.

    That part is the mean over the same composition if most compositions occur more than once, else the best sum over
    elements.
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
