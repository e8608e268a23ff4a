"""The crystal of a data set, whose properties are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.core.errors import TamisError

ATOMS_PER_CUBE = {"diamond": 8, "bcc": 2, "fcc": 4}
NEAREST = {"diamond": np.sqrt(3.0) / 4.0, "bcc": np.sqrt(3.0) / 2.0, "fcc": np.sqrt(0.5)}
"""Shortest distance in units of the cubic lattice constant."""


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """A cubic crystal of one element.

    structure : diamond, bcc or fcc. element : chemical symbol. a : cubic lattice constant to start from, Å.
    """

    structure: str
    element: str
    a: float

    def __post_init__(self) -> None:
        if self.structure not in ATOMS_PER_CUBE:
            raise TamisError(
                f"crystal.structure is {self.structure!r}; choose one of {', '.join(ATOMS_PER_CUBE)}"
            )
        if atomic_numbers.get(self.element, 0) == 0:
            raise TamisError(f"crystal.element is {self.element!r}; a chemical symbol is needed, such as Si")
        if not (np.isfinite(self.a) and self.a > 0.0):
            raise TamisError(f"crystal.a is {self.a}; the cubic lattice constant in Å is needed")

    def primitive(self, a: float | None = None) -> Atoms:
        """The smallest cell, one atom (two in diamond), with the cubic lattice constant ``a``, Å (None: its own)."""
        return self._bulk(a, cubic=False)

    def cubic(self, a: float | None = None) -> Atoms:
        """The cubic cell."""
        return self._bulk(a, cubic=True)

    def _bulk(self, a: float | None, cubic: bool) -> Atoms:
        from ase.build import bulk  # brings half of SciPy, which most trials do without

        return bulk(self.element, self.structure, a=self.a if a is None else a, cubic=cubic)

    def volume_per_atom(self, a: float) -> float:
        """Å³."""
        return a**3 / ATOMS_PER_CUBE[self.structure]

    def nearest_distance(self, a: float) -> float:
        """Distance of nearest neighbours, Å."""
        return float(NEAREST[self.structure] * a)

    def lattice_vectors(self, a: float) -> NDArray[np.float64]:
        """The primitive vectors as rows, (3, 3), Å, along the cubic axes."""
        return np.asarray(self.primitive(a).cell.array)
