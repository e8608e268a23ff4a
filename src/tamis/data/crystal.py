"""The crystal whose properties are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.fields import Above, Checked, OneOf, Symbol

ATOMS_PER_CUBE = {"diamond": 8, "bcc": 2, "fcc": 4}
NEAREST = {"diamond": np.sqrt(3.0) / 4.0, "bcc": np.sqrt(3.0) / 2.0, "fcc": np.sqrt(0.5)}
"""Shortest distance in units of the cubic lattice constant."""


@dataclass(frozen=True, kw_only=True)
class Crystal(Checked):
    """A cubic crystal of one element.

    structure : diamond, bcc or fcc. element : chemical symbol. a : cubic lattice constant to start from, Å.
    """

    structure: Annotated[str, OneOf(*ATOMS_PER_CUBE)]
    element: Annotated[str, Symbol()]
    a: Annotated[float, Above(0, "Å")]

    def primitive(self, a: float | None = None) -> Atoms:
        """The smallest cell, one atom (two in diamond), with the cubic lattice constant ``a``, Å (None: its own)."""
        return self._bulk(a, cubic=False)

    def conventional(self, a: float | None = None) -> Atoms:
        """The cubic cell."""
        return self._bulk(a, cubic=True)

    def _bulk(self, a: float | None, cubic: bool) -> Atoms:
        from ase.build import bulk  # loads half of SciPy, which most trials do not need

        return bulk(self.element, self.structure, a=self.a if a is None else a, cubic=cubic)

    def scaled(self, factor: float) -> Crystal:
        """With a lattice constant ``factor`` times as long."""
        return replace(self, a=self.a * factor)

    @property
    def elements(self) -> tuple[str, ...]:
        """The chemical symbol."""
        return (self.element,)

    @property
    def turns(self) -> NDArray[np.float64]:
        """The rotations and reflections of a cube, (48, 3, 3)."""
        signs = product((1.0, -1.0), repeat=3)
        return np.array([np.diag(sign)[list(axes)] for axes, sign in product(permutations(range(3)), signs)])

    def volume_per_atom(self, a: float) -> float:
        """Å³."""
        return a**3 / ATOMS_PER_CUBE[self.structure]

    def nearest_distance(self, a: float) -> float:
        """Distance of nearest neighbours, Å."""
        return float(NEAREST[self.structure] * a)

    def lattice_vectors(self, a: float) -> NDArray[np.float64]:
        """The primitive vectors as rows, (3, 3), Å, along the cubic axes."""
        return np.asarray(self.primitive(a).cell.array)
