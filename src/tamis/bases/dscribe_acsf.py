"""Symmetry functions of dscribe: a second implementation of Behler's functions."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.bases.neighbours import refuse_overlaps
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Elements, OneOf
from tamis.core.geometry import heights, occupied_cell, wrapped
from tamis.engines.imports import import_engine

CLOSEST = 1e-3
"""Å; angles between nearer neighbours would be rounding errors."""
OTHER_ORIGINS = (0.1237, 0.3191, 0.4613, 0.6317, 0.8111)
"""Fractions of the cell by which a structure is moved where rounding spoils dscribe's numbers."""
MOST_IMAGES_OF_ATOMS = 6000
"""dscribe keeps the distances of all their pairs: 0.3 GB."""


@dataclass(frozen=True)
class DscribeAcsfBasis(Basis):
    """Radial and angular symmetry functions, cosine cutoff, values only.

    Behler, J. Chem. Phys. 134, 074106 (2011). Radial (G2) functions are all pairs of ``radial_eta`` and ``radial_r_s``,
    angular ones all triples of ``angular_eta``, ``angular_lambda``, ``angular_zeta``. dscribe adds G1, the sum of
    the cutoff function over the neighbours, as the first column of each neighbour element.

    elements: chemical symbols.
    r_cut: Å.
    in_units_of_r_cut: True: r_s is a fraction of r_cut, eta a multiple of 1/r_cut^2; False: Å and 1/Å^2.
    angular_function: G4 (all three sides of the triangle) or G5 (the two sides at the centre).
    """

    engine: ClassVar[str | None] = "dscribe"
    revision: ClassVar[int] = 2

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å")]
    in_units_of_r_cut: bool
    radial_eta: tuple[float, ...]
    radial_r_s: tuple[float, ...]
    angular_function: Annotated[str, OneOf("G4", "G5")]
    angular_eta: tuple[float, ...]
    angular_lambda: tuple[float, ...]
    angular_zeta: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("radial_eta", "radial_r_s", "angular_eta", "angular_lambda", "angular_zeta"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
            if not np.isfinite(getattr(self, name)).all():
                raise TamisError(f"{name} is {list(getattr(self, name))}; all must be finite numbers")
        if min((*self.radial_eta, *self.angular_eta), default=0.0) < 0.0:
            raise TamisError(
                f"radial_eta {list(self.radial_eta)}, angular_eta {list(self.angular_eta)}: a negative eta grows "
                "with distance; eta must be at least 0"
            )
        if min(self.angular_zeta, default=1.0) <= 0.0:
            raise TamisError(f"angular_zeta is {list(self.angular_zeta)}; zeta must be above 0")

    @property
    def n_features(self) -> int:
        """One block per central element: G1 and G2 of each element, G4 or G5 of each pair of elements."""
        n = len(self.elements)
        radial = 1 + len(self.radial_eta) * len(self.radial_r_s)
        angular = len(self.angular_eta) * len(self.angular_lambda) * len(self.angular_zeta)
        return n * (n * radial + n * (n + 1) // 2 * angular)

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """Symmetry functions of every atom, (n_atoms, n_features), dimensionless."""
        self.check(atoms)
        refuse_overlaps(atoms, CLOSEST)
        images = len(atoms) * float(
            np.prod(1.0 + 2.0 * self.r_cut / heights(occupied_cell(atoms, self.r_cut)))
        )
        if images > MOST_IMAGES_OF_ATOMS:
            raise TamisError(
                f"about {images:.0f} atoms and images are within r_cut = {self.r_cut} Å of the cell; dscribe keeps the "
                f"distances of all pairs, so at most {MOST_IMAGES_OF_ATOMS} can be treated: lower r_cut, or choose "
                "descriptor=acsf"
            )
        return in_element_blocks(self._finite(wrapped(atoms, self.r_cut)), atoms, self.elements)

    def _finite(self, atoms: Atoms) -> NDArray[np.float64]:
        """dscribe's numbers, computed from another origin where they are not finite.

        dscribe takes 1 + cos to a power, which rounding may make negative for neighbours on opposite sides, such as
        images in a small cell. From another origin the same distances are rounded differently.
        """
        rows = self._acsf.create(atoms)
        for step in OTHER_ORIGINS:
            if np.isfinite(rows).all():
                break
            moved = atoms.copy()
            moved.positions += step * np.where(atoms.pbc, atoms.cell.lengths(), 0.0)
            moved.wrap(eps=0.0)
            rows = np.where(np.isfinite(rows), rows, self._acsf.create(moved))
        return rows

    @cached_property
    def _acsf(self) -> Any:
        length = self.r_cut if self.in_units_of_r_cut else 1.0
        radial = [(eta / length**2, r_s * length) for eta, r_s in product(self.radial_eta, self.radial_r_s)]
        angular = [
            (eta / length**2, zeta, lambda_)
            for eta, lambda_, zeta in product(self.angular_eta, self.angular_lambda, self.angular_zeta)
        ]
        return import_engine("dscribe.descriptors", "descriptor=acsf_dscribe", "descriptors").ACSF(
            r_cut=self.r_cut,
            g2_params=radial or None,
            g4_params=angular if angular and self.angular_function == "G4" else None,
            g5_params=angular if angular and self.angular_function == "G5" else None,
            species=list(self.elements),
            periodic=True,
        )
