"""SOAP power spectrum of dscribe: a second implementation, with another radial basis than QUIP's."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.geometry import wrapped


@dataclass(frozen=True)
class DscribeSoapBasis(Basis):
    """Power spectrum in orthonormalised Gaussian-type orbitals, not normalised; for latent spaces, without derivatives.

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

    elements: tuple[str, ...]
    r_cut: float
    n_max: int
    l_max: int
    atom_sigma: float
    weight_power: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(self.elements)))
        if not self.elements:
            raise TamisError("elements is empty; name at least one chemical symbol")
        if not 1.0 < self.r_cut < np.inf:
            raise TamisError(f"r_cut is {self.r_cut} Å; dscribe's radial basis needs more than 1 Å")
        if not 0.05 <= self.atom_sigma < np.inf:
            raise TamisError(f"atom_sigma is {self.atom_sigma} Å; it must be at least 0.05 Å, say 0.5 Å")
        if not 1 <= self.n_max <= 20 or not 0 <= self.l_max <= 20:
            raise TamisError(
                f"n_max is {self.n_max} and l_max {self.l_max}; n_max may be 1 to 20 and l_max 0 to 20"
            )
        if not 0.5 <= self.weight_power < np.inf:
            raise TamisError(f"weight_power is {self.weight_power}; it must be at least 0.5, say 1")

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
        try:
            from dscribe.descriptors import SOAP
        except ImportError as error:
            raise MissingEngineError(
                "descriptor=soap_dscribe computes with dscribe, which is not installed; "
                'pip install "tamis[descriptors]"'
            ) from error
        return SOAP(
            species=list(self.elements),
            r_cut=self.r_cut,
            n_max=self.n_max,
            l_max=self.l_max,
            sigma=self.atom_sigma,
            rbf="gto",
            weighting={"function": "poly", "r0": self.r_cut, "c": 1.0, "m": self.weight_power},
            periodic=True,
        )
