"""The interface of all bases.

A basis turns the surroundings of each atom into numbers. They serve twice: pooled, they are the latent space in which
pruners choose; summed, they are the design rows of a potential that is linear in its coefficients.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import Checked
from tamis.core.geometry import check_geometry

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DesignRows:
    """Design rows of one structure: prediction = rows @ coefficients.

    energy: (K,) sum of the basis functions over the atoms.
    forces: (n_atoms, 3, K) minus the gradient of ``energy`` by the positions, 1/Å.
    strain_gradient: (6, K) derivative of ``energy`` by a symmetric strain, Voigt xx yy zz yz xz xy, where a shear
        component e_yz means eps_yz = eps_zy = e_yz / 2; stress (ASE sign) = strain_gradient / volume.
    """

    energy: Array
    forces: Array
    strain_gradient: Array


class Basis(Checked, ABC):
    """One family's functions of an atomic environment. Subclasses are frozen dataclasses built from one YAML.

    Annotations of their fields say which values are allowed (``tamis.core.fields``).

    Every subclass has the fields ``elements`` (tuple of chemical symbols, sorted) and ``r_cut`` (Å, the largest
    cutoff). Feature columns come in one block per element of the central atom, in the order of ``elements``: an
    atom's values fill its own element's block, the other blocks are zero. So the sum over atoms keeps the
    elements apart. (ChIMES is the exception: its functions belong to kinds of clusters, shared by their atoms.)
    """

    revision: ClassVar[int] = 1
    """Increase it when the numbers change for the same fields; then stored rows are made again."""
    engine: ClassVar[str | None] = None
    """The distribution (pip name) that computes the numbers; its version is part of the store's key."""
    tells_neighbours_apart: ClassVar[bool] = True
    """False where exchanging the elements of two neighbours changes nothing; the laws assume True."""

    elements: tuple[str, ...]
    r_cut: float

    @property
    def values_revision(self) -> int:
        """``revision`` for these elements; older where a change did not affect their numbers."""
        return self.revision

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of columns of ``values``."""

    @abstractmethod
    def values(self, atoms: Atoms) -> Array:
        """Basis functions of every atom, (n_atoms, n_features)."""

    def check(self, atoms: Atoms) -> None:
        """Raise TamisError if this basis cannot treat ``atoms``; engines would crash on some of these."""
        present = {chemical_symbols[number] for number in set(atoms.numbers.tolist())}
        unknown = sorted(present - set(self.elements))
        if unknown:
            raise TamisError(
                f"element {', '.join(unknown)} is unknown to this basis, which has {', '.join(self.elements)}; "
                "add it to dataset.elements"
            )
        if len(atoms) == 0:
            raise TamisError("a structure without atoms has no features; remove it from the data set")
        check_geometry(atoms, self.r_cut)


class StructureBasis(Basis):
    """A basis that describes whole structures: ``values`` has one row for a structure, not one for each atom.

    The row is taken as it is: nothing is pooled, scaled or turned. Structures are as far apart as the sum of the
    absolute differences of their rows (L1). Only pruners with ``uses_distances_alone`` can use it.
    """

    @abstractmethod
    def values(self, atoms: Atoms) -> Array:
        """Numbers of the structure, (1, n_features)."""

    def notes(self, structures: Sequence[Atoms]) -> tuple[str, ...]:
        """What a record tells of the rows of these structures."""
        return ()


class LinearBasis(Basis):
    """A basis whose potential is linear in its coefficients: energy = sum over atoms of values @ coefficients.

    It also knows the files, the calculator and the LAMMPS lines of its fitted potentials. ``offsets`` are the energies
    of the free atoms by element, eV, in the order of ``elements``; ``coefficients`` have shape (n_features,) in eV.
    """

    keeps_values: ClassVar[bool] = True
    """False for so many columns that the store keeps only the sum of the values over the atoms."""

    @abstractmethod
    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """Values and design rows in one pass of the engine."""

    def values(self, atoms: Atoms) -> Array:
        """Basis functions of every atom, (n_atoms, n_features)."""
        return self.evaluate(atoms)[0]

    def design(self, atoms: Atoms) -> DesignRows:
        """Design rows of one structure."""
        return self.evaluate(atoms)[1]

    @abstractmethod
    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """An ASE calculator (energy, forces, stress) that does not go through the design rows."""

    @abstractmethod
    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write the files that the family's own programs read; returns their paths."""

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        """pair_style and pair_coeff lines for the files in ``folder``; None if LAMMPS has no style."""
        return None
