"""Behler-Parrinello atom-centred symmetry functions, as n2p2 defines them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, product
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.acsf.table import RADIAL, SymmetryFunction, SymmetryFunctionTable
from tamis.bases.gradients import NORMAL_STRAINS, SHEAR_STRAINS, GradientBasis, gradient_dtype
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Elements


@dataclass(frozen=True)
class AcsfBasis(GradientBasis):
    """Radial and angular symmetry functions, the same for every element and pair of elements.

    Radial (type 2) functions are all pairs of ``radial_eta`` and ``radial_r_s``; angular ones all triples of
    ``angular_eta``, ``angular_lambda``, ``angular_zeta``. Type 3 (Behler's G4) weighs all three sides of the triangle
    of two neighbours and the centre, type 9 (G5) only the two at the centre. The far side counts with r_s = 0.

    Definitions: Behler, J. Chem. Phys. 134, 074106 (2011); cutoff functions: Singraber et al., J. Chem. Theory Comput.
    15, 1827 (2019).

    elements: chemical symbols.
    r_cut: Å.
    cutoff_type: hard, cos, tanhu, tanh, exp, poly1, poly2, poly3 or poly4 (n2p2's 0 to 8). hard jumps, so it gives no
        forces.
    cutoff_alpha: the cutoff function is 1 up to cutoff_alpha * r_cut (not for the tanh types).
    in_units_of_r_cut: True: r_s is a fraction of r_cut, eta a multiple of 1/r_cut^2; False: Å and 1/Å^2.
    """

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å")]
    cutoff_type: str
    cutoff_alpha: float
    in_units_of_r_cut: bool
    radial_eta: tuple[float, ...]
    radial_r_s: tuple[float, ...]
    angular_type: int
    angular_eta: tuple[float, ...]
    angular_lambda: tuple[float, ...]
    angular_zeta: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("radial_eta", "radial_r_s", "angular_eta", "angular_lambda", "angular_zeta"):
            object.__setattr__(self, name, floats(name, getattr(self, name)))
        if self.n_features == 0:
            raise TamisError("no symmetry function is left: give radial_eta and radial_r_s, or angular_*")

    @cached_property
    def table(self) -> SymmetryFunctionTable:
        """Every symmetry function, in the order of the columns."""
        return SymmetryFunctionTable(
            elements=self.elements,
            functions=tuple(f for central in self.elements for f in self._functions_of(central)),
            cutoff_type=self.cutoff_type,
            cutoff_alpha=self.cutoff_alpha,
        )

    @property
    def n_features(self) -> int:
        """Number of symmetry functions of all elements."""
        return len(self.table.functions)

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """Symmetry functions of every atom, (n_atoms, n_features), dimensionless."""
        self.check(atoms)
        return self.table.values(atoms)

    def gradients(self, atoms: Atoms) -> NDArray[np.void]:
        """Derivatives of the functions of every atom by positions and strain (see ``gradient_dtype``)."""
        self.check(atoms)
        centres, moved, by_position, by_strain = self.table.gradients(atoms)
        n, n_pairs = len(atoms), len(moved)
        records = np.zeros(2 * n + n_pairs, dtype=gradient_dtype(self.n_per_element))
        for part, kind in enumerate((SHEAR_STRAINS, NORMAL_STRAINS)):  # in the order of their numbers
            rows = slice(part * n, (part + 1) * n)
            records["moved"][rows] = kind
            records["centre"][rows] = np.arange(n)
        records["derivative"][:n] = by_strain[:, 3:]
        records["derivative"][n : 2 * n] = by_strain[:, :3]
        order = np.lexsort((centres, moved))
        records["centre"][2 * n :] = centres[order]
        records["moved"][2 * n :] = moved[order]
        records["derivative"][2 * n :] = by_position[order]
        return records

    def _functions_of(self, central: str) -> list[SymmetryFunction]:
        length = self.r_cut if self.in_units_of_r_cut else 1.0
        radial = [
            SymmetryFunction(central, RADIAL, (other,), eta / length**2, r_s * length, self.r_cut)
            for other, eta, r_s in product(self.elements, self.radial_eta, self.radial_r_s)
        ]
        angular = [
            SymmetryFunction(
                central, self.angular_type, pair, eta / length**2, 0.0, self.r_cut, lambda_, zeta
            )
            for pair, eta, lambda_, zeta in product(
                combinations_with_replacement(self.elements, 2),
                self.angular_eta,
                self.angular_lambda,
                self.angular_zeta,
            )
        ]
        return radial + angular


def floats(name: str, numbers: Sequence[float]) -> tuple[float, ...]:
    """``numbers`` as floats; TamisError if one occurs twice, which would give two equal columns."""
    values = tuple(float(x) for x in numbers)
    if len(set(values)) != len(values):
        raise TamisError(f"{name} is {list(values)}: a number occurs twice and would give two equal columns")
    return values
