"""SOAP power spectrum of QUIP, the descriptor of GAP, through quippy."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.geometry import SHORTEST_REACH, in_vacuum, neighbours_within
from tamis.core.interrupts import interruptible_quip

Array = NDArray[np.float64]

CLOSEST = 1e-3
"""Å."""


@dataclass(frozen=True)
class SoapBasis(Basis):
    """Smooth overlap of atomic positions, each atom's vector normalised to length 1.

    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), in QUIP's radial basis. The columns are those GAP's
    kernel takes, (p . p')^zeta; the last of each block, QUIP's slot of ``covariance_sigma0``, is zero.

    elements: chemical symbols.
    r_cut: Å.
    n_max: radial functions. l_max: highest angular momentum.
    atom_sigma: Å, width of the Gaussian that stands for an atom.
    cutoff_transition_width: Å, over which an atom fades out below r_cut.
    """

    engine: ClassVar[str | None] = "quippy-ase"

    elements: tuple[str, ...]
    r_cut: float
    n_max: int
    l_max: int
    atom_sigma: float
    cutoff_transition_width: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(self.elements)))
        if not self.elements:
            raise TamisError("elements is empty; name at least one chemical symbol")
        if not 0.0 < self.cutoff_transition_width <= self.r_cut < np.inf:
            raise TamisError(
                f"cutoff_transition_width is {self.cutoff_transition_width} Å with r_cut {self.r_cut} Å; "
                "it must be above 0 and at most r_cut"
            )
        if not 0.05 <= self.atom_sigma < np.inf:
            raise TamisError(f"atom_sigma is {self.atom_sigma} Å; it must be at least 0.05 Å, say 0.5 Å")
        if not 1 <= self.n_max <= 20 or not 0 <= self.l_max <= 20:
            raise TamisError(
                f"n_max is {self.n_max} and l_max {self.l_max}; n_max may be 1 to 20 and l_max 0 to 20"
            )

    @property
    def width(self) -> int:
        """Columns of one block: pairs of radial functions (of any elements) times l, and one zero."""
        radial = len(self.elements) * self.n_max
        return radial * (radial + 1) // 2 * (self.l_max + 1) + 1

    @property
    def n_features(self) -> int:
        """One block per central element."""
        return len(self.elements) * self.width

    def values(self, atoms: Atoms) -> Array:
        """Power spectrum of every atom, (n_atoms, n_features), dimensionless."""
        self.check(atoms)
        if neighbours_within(atoms, SHORTEST_REACH, "d").min(initial=np.inf) < CLOSEST:
            raise TamisError(
                f"two atoms of {atoms.get_chemical_formula()} are closer than {CLOSEST} Å, where QUIP is not exact; "
                "correct or remove the structure"
            )
        boxed = in_vacuum(atoms, self.r_cut)
        rows = np.zeros((len(atoms), self.width))
        symbols = set(atoms.get_chemical_symbols())
        for element, descriptor in self.descriptors.items():
            if element in symbols:
                with interruptible_quip():
                    found = descriptor.calc(boxed)
                rows[np.asarray(found["ci"]) - 1] = found["data"]
        return in_element_blocks(rows, atoms, self.elements)

    def settings(self, central: str) -> str:
        """QUIP's descriptor string for atoms of the element ``central``, as gap.xml holds it."""
        numbers = " ".join(str(atomic_numbers[symbol]) for symbol in self.elements)
        return (
            f"soap cutoff={self.r_cut!r} cutoff_transition_width={self.cutoff_transition_width!r} "
            f"n_max={self.n_max} l_max={self.l_max} atom_sigma={self.atom_sigma!r} "
            f"n_Z=1 Z={{{atomic_numbers[central]}}} n_species={len(self.elements)} species_Z={{{numbers}}}"
        )

    @cached_property
    def descriptors(self) -> dict[str, Any]:
        """QUIP's objects by element of the central atom."""
        try:
            from quippy.descriptors import Descriptor
        except ImportError as error:
            raise MissingEngineError(
                "descriptor=soap computes with QUIP and the package quippy-ase is not installed; "
                'pip install "tamis[gap]"'
            ) from error
        return {element: Descriptor(self.settings(element)) for element in self.elements}

    def __getstate__(self) -> dict[str, Any]:
        """Without QUIP's objects, which live in the memory of one process."""
        return {name: value for name, value in self.__dict__.items() if name != "descriptors"}
