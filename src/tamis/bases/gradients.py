"""Bases with derivatives of the values of every atom, on which networks are trained."""

from abc import abstractmethod

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis

NORMAL_STRAINS, SHEAR_STRAINS = -1, -2
"""In ``moved``, in place of an atom: the strains xx, yy, zz or the strains yz, xz, xy of the whole structure."""


class GradientBasis(Basis):
    """A basis whose values have derivatives by positions and strain, atom by atom.

    Every element has the same number of functions, ``n_per_element``; only the block of the central element is kept.
    """

    @property
    def n_per_element(self) -> int:
        """Number of functions of one element."""
        return self.n_features // len(self.elements)

    @abstractmethod
    def gradients(self, atoms: Atoms) -> NDArray[np.void]:
        """Records of ``gradient_dtype(n_per_element)``, sorted by ``moved``, then ``centre``."""


def gradient_dtype(n_per_element: int) -> np.dtype[np.void]:
    """One record: the derivatives of the functions of one atom by one atom's position, or by three strains.

    centre: atom i whose functions these are. moved: atom j (all its images move together), or one of
    ``NORMAL_STRAINS``, ``SHEAR_STRAINS``. derivative: (3, n_per_element), by x, y, z of atom j, 1/Å, or by the strains,
    where a shear e_yz means eps_yz = eps_zy = e_yz / 2. Four bytes a number are exact enough for training, which sums
    thousands of them, and halve the time for reading.
    """
    return np.dtype([("centre", "<i4"), ("moved", "<i4"), ("derivative", "<f4", (3, n_per_element))])
