"""SOAP power spectrum of QUIP, the descriptor of GAP, through quippy."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.bases.neighbours import refuse_overlaps
from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Elements, Whole
from tamis.core.geometry import in_vacuum
from tamis.core.interrupts import interruptible_quip
from tamis.engines.imports import import_engine

Array = NDArray[np.float64]

CLOSEST = 1e-3
"""Å; QUIP is not exact for atoms that are nearer."""


@dataclass(frozen=True)
class SoapBasis(Basis):
    """Smooth overlap of atomic positions, each atom's vector normalised to length 1.

    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), in QUIP's radial basis. GAP's kernel (p . p')^zeta uses
    the same columns; the last one of each block, QUIP's slot of ``covariance_sigma0``, is zero.

    elements: chemical symbols.
    r_cut: Å.
    n_max: radial functions. l_max: highest angular momentum.
    atom_sigma: Å, width of the Gaussian that stands for an atom.
    cutoff_transition_width: Å, over which an atom fades out below r_cut.
    """

    engine: ClassVar[str | None] = "quippy-ase"

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å")]
    n_max: Annotated[int, Whole(1, 20)]
    l_max: Annotated[int, Whole(0, 20)]
    atom_sigma: Annotated[float, AtLeast(0.05, "Å", say=0.5)]
    cutoff_transition_width: Annotated[float, Above(0, "Å")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cutoff_transition_width > self.r_cut:
            raise TamisError(
                f"cutoff_transition_width is {self.cutoff_transition_width} Å; it must be at most r_cut, {self.r_cut} Å"
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
        refuse_overlaps(atoms, CLOSEST)
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
        """QUIP's descriptor string for atoms of the element ``central``, as in gap.xml."""
        numbers = " ".join(str(atomic_numbers[symbol]) for symbol in self.elements)
        return (
            f"soap cutoff={self.r_cut!r} cutoff_transition_width={self.cutoff_transition_width!r} "
            f"n_max={self.n_max} l_max={self.l_max} atom_sigma={self.atom_sigma!r} "
            f"n_Z=1 Z={{{atomic_numbers[central]}}} n_species={len(self.elements)} species_Z={{{numbers}}}"
        )

    @cached_property
    def descriptors(self) -> dict[str, Any]:
        """QUIP's objects by element of the central atom."""
        quippy = import_engine("quippy.descriptors", "descriptor=soap", "gap")
        return {element: quippy.Descriptor(self.settings(element)) for element in self.elements}

    def __getstate__(self) -> dict[str, Any]:
        """The fields without QUIP's objects, which cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "descriptors"}
