"""No descriptor at all, for pruners that look at no latent space."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.core.fields import Elements


@dataclass(frozen=True)
class NoDescriptor(Basis):
    """Zero columns.

    elements: chemical symbols that may occur.
    r_cut: Å, 0, since neighbours do not matter.
    """

    elements: Elements
    r_cut: float = 0.0

    @property
    def n_features(self) -> int:
        """0."""
        return 0

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """An empty array, (n_atoms, 0)."""
        self.check(atoms)
        return np.empty((len(atoms), 0))
