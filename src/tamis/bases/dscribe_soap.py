"""SOAP power spectrum of dscribe: a second implementation, with another radial basis than QUIP's."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.core.fields import Above, AtLeast, Elements, Whole
from tamis.core.geometry import wrapped
from tamis.engines.imports import import_engine


@dataclass(frozen=True)
class DscribeSoapBasis(Basis):
    """Power spectrum in orthonormalised Gaussian-type orbitals, not normalised and without derivatives.

    Himanen et al., Comput. Phys. Commun. 247, 106949 (2020). An atom at distance r from the centre counts with weight
    (1 + 2 (r/r_cut)^3 - 3 (r/r_cut)^2)^weight_power (Caro, Phys. Rev. B 100, 024112 (2019)), so it fades out at r_cut.

    elements: chemical symbols.
    r_cut: Å, more than 1.
    n_max: radial functions. l_max: highest angular momentum.
    atom_sigma: Å, width of the Gaussian that stands for an atom.
    weight_power: at least 0.5; larger weighs close neighbours more.
    """

    engine: ClassVar[str | None] = "dscribe"
    revision: ClassVar[int] = 2

    elements: Elements
    r_cut: Annotated[float, Above(1, "Å")]
    n_max: Annotated[int, Whole(1, 20)]
    l_max: Annotated[int, Whole(0, 20)]
    atom_sigma: Annotated[float, AtLeast(0.05, "Å", say=0.5)]
    weight_power: Annotated[float, AtLeast(0.5, say=1)]

    @property
    def n_features(self) -> int:
        """One block per central element, each of all pairs of radial functions of all elements, times l."""
        radial = len(self.elements) * self.n_max
        return len(self.elements) * (radial * (radial + 1) // 2) * (self.l_max + 1)

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """Power spectrum of every atom, (n_atoms, n_features)."""
        self.check(atoms)
        rows = self._soap.create(wrapped(atoms, self.r_cut))
        return in_element_blocks(rows, atoms, self.elements)

    @cached_property
    def _soap(self) -> Any:
        return import_engine("dscribe.descriptors", "descriptor=soap_dscribe", "descriptors").SOAP(
            species=list(self.elements),
            r_cut=self.r_cut,
            n_max=self.n_max,
            l_max=self.l_max,
            sigma=self.atom_sigma,
            rbf="gto",
            weighting={"function": "poly", "r0": self.r_cut, "c": 1.0, "m": self.weight_power},
            periodic=True,
        )
