"""A descriptor of the distances to the neighbours, cheap enough for millions of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list

from tamis.bases.base import Array, Basis
from tamis.bases.blocks import in_element_blocks
from tamis.core.geometry import in_vacuum


@dataclass(frozen=True)
class RadialMoments(Basis):
    """Moments of the distances to the neighbours of each element.

    A neighbour at the distance d counts (1 - x)^2 (2 x - 1)^n with x = d / r_cut and n from 0 to n_moments - 1: smooth
    at r_cut.
    """

    elements: tuple[str, ...]
    r_cut: float
    n_moments: int = 4

    @property
    def n_features(self) -> int:
        """Columns: moments of the neighbours of each element, one block for each element of the central atom."""
        return len(self.elements) ** 2 * self.n_moments

    def values(self, atoms: Atoms) -> Array:
        """One row an atom, shape (n_atoms, n_features)."""
        self.check(atoms)
        i, j, d = neighbour_list("ijd", in_vacuum(atoms, self.r_cut), self.r_cut)
        x = d[:, None] / self.r_cut
        terms = (1.0 - x) ** 2 * (2.0 * x - 1.0) ** np.arange(self.n_moments)
        moments = np.zeros((len(atoms), len(self.elements), self.n_moments))
        of = np.array([self.elements.index(symbol) for symbol in atoms.symbols])
        np.add.at(moments, (i, of[j]), terms)
        return in_element_blocks(moments.reshape(len(atoms), -1), atoms, self.elements)
