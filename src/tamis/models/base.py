"""What every model and every fitted potential promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.data.dataset import Dataset
from tamis.store import Store

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a potential says of n structures.

    energies: (n,) eV; forces: n arrays (n_atoms, 3), eV/Å; stresses: (n, 6), eV/Å³, ASE sign, Voigt
    xx yy zz yz xz xy, NaN where the cell is not periodic in all directions.
    """

    energies: Array
    forces: tuple[Array, ...]
    stresses: Array


class Potential(ABC):
    """A fitted model."""

    @property
    @abstractmethod
    def diagnostics(self) -> Mapping[str, float]:
        """What the fit chose and found (weights, ridge, fold errors), as metrics without a prefix."""

    @property
    def problem(self) -> str:
        """Why what the fit chose rests on too little, in a sentence; "" where it does not."""
        return ""

    @abstractmethod
    def calculator(self) -> Calculator:
        """An ASE calculator with energy, forces and stress."""

    @abstractmethod
    def write(self, folder: Path) -> list[Path]:
        """Write the files that the family's own programs read; returns their paths."""

    @abstractmethod
    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        """pair_style and pair_coeff lines for the files in ``folder``; None where LAMMPS has no style for it."""

    def predict(self, dataset: Dataset, store: Store) -> Predictions:
        """Energies, forces and stresses of all structures; subclasses that have rows in the store use them."""
        calculator = self.calculator()
        energies, forces, stresses = [], [], np.full((len(dataset), 6), np.nan)
        for i, atoms in enumerate(dataset.structures):
            energies.append(calculator.get_property("energy", atoms))
            forces.append(calculator.get_property("forces", atoms))
            if atoms.pbc.all():
                stresses[i] = calculator.get_property("stress", atoms)
        return Predictions(np.array(energies), tuple(forces), stresses)


class Model(ABC):
    """What is trained. Subclasses are frozen dataclasses built from one YAML."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of its potentials, in the order of LAMMPS' atom types: those of its basis, if it has one."""
        return tuple(getattr(getattr(self, "basis", None), "elements", ()))

    @property
    def own_descriptor(self) -> Basis | None:
        """The descriptor that looks at structures as this model does: its basis; None where it has none."""
        return getattr(self, "basis", None)

    @property
    def needs_tuning_set(self) -> bool:
        """True where ``fit`` chooses its settings on a labelled set that is neither pool nor validation set."""
        return False

    @abstractmethod
    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Compute what fits on any part of ``dataset`` need, once, into the store."""

    @abstractmethod
    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> Potential:
        """Train on ``kept``.

        ``tuning`` is empty unless ``needs_tuning_set``: every setting is chosen by folds of the kept structures.
        """
