"""Linear atomic cluster expansion: the B-basis of python-ace (pacemaker), evaluated by our own kernel.

python-ace defines the functions (products, couplings, radial tables) and reads and writes the files;
``tamis.bases.ace.kernel`` evaluates them, because python-ace gives no strain derivative per function and its force rows
take many times as long as the values. python-ace: Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021); Bochkarev et
al., Phys. Rev. Mater. 6, 013804 (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tamis.bases.ace.functions import Function, Species, combinations_of, shortest_functions
from tamis.bases.ace.kernel import Expansion, expand
from tamis.bases.ace.pyace import (
    AceCalculator,
    import_pyace,
    make_configuration,
    read_expansion,
    write_potential,
)
from tamis.bases.base import DesignRows, LinearBasis
from tamis.bases.neighbours import neighbours_of
from tamis.core.elements import species_of
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Elements, OneOf, Whole

Array = NDArray[np.float64]

RADIAL_BASES = ("SBessel", "ChebExpCos", "ChebPow")
"""The radial bases of python-ace that go smoothly to zero at the cutoff."""


@dataclass(frozen=True)
class AceBasis(LinearBasis):
    """Linear ACE, equal to python-ace's B-basis with one density and a linear embedding.

    elements: chemical symbols.
    r_cut: cutoff of all pairs, Å.
    n_functions_per_element: largest number of functions, the shortest products first; several elements share them
        evenly over their combinations of elements (Si, Si-Mo, ...). The next two lists limit them as well.
    nradmax_by_orders: radial functions in products of 1, 2, 3 ... factors.
    lmax_by_orders: largest angular momentum in products of 1, 2, 3 ... factors; the first must be 0.
    radial_basis: SBessel, ChebExpCos or ChebPow.
    radial_parameter: exponent of ChebExpCos (decay) or ChebPow (power); SBessel has none and ignores it.
    cutoff_width: width of the outer cosine of ChebExpCos, Å; the others ignore it.
    spline_spacing: spacing of the radial tables, Å.
    """

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å", say=6)]
    n_functions_per_element: Annotated[int, Whole(1, say=400)]
    nradmax_by_orders: Annotated[tuple[int, ...], Whole(1)]
    lmax_by_orders: Annotated[tuple[int, ...], Whole(0)]
    radial_basis: Annotated[str, OneOf(*RADIAL_BASES)]
    radial_parameter: Annotated[float, Above(0, say=5.25)]
    cutoff_width: Annotated[float, Above(0, "Å")]
    spline_spacing: Annotated[float, Above(0, "Å", say=0.001)]

    revision: ClassVar[int] = 1
    engine: ClassVar[str | None] = "python-ace"

    def __post_init__(self) -> None:
        super().__post_init__()
        n_max, l_max = self.nradmax_by_orders, self.lmax_by_orders
        if len(n_max) != len(l_max):
            raise TamisError(
                f"nradmax_by_orders has {len(n_max)} and lmax_by_orders {len(l_max)} entries; they need one each for "
                "products of 1, 2, ... factors"
            )
        if l_max[0] != 0:
            raise TamisError(
                f"lmax_by_orders is {list(l_max)}; it must start with 0: a single factor has no angle"
            )
        for name, largest in (("cutoff_width", self.r_cut), ("spline_spacing", self.r_cut / 100.0)):
            if getattr(self, name) > largest:
                raise TamisError(
                    f"{name} is {getattr(self, name)} Å; with r_cut = {self.r_cut} Å it must be at most {largest} Å"
                )

    @property
    def n_features(self) -> int:
        """Number of functions of all elements."""
        return int(self._expansion.first_function[-1])

    @property
    def _expansion(self) -> Expansion:
        return expansion_of(self)

    def values(self, atoms: Atoms) -> Array:
        """Basis functions of every atom, (n_atoms, n_features), without the cost of their derivatives."""
        return self._expand(atoms, derivatives=False)[0]

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """Values and design rows in one pass; TamisError for atoms on top of each other."""
        values, gradient, strain = self._expand(atoms, derivatives=True)
        forces = -gradient.reshape(-1, len(atoms), 3).transpose(1, 2, 0)
        rows = DesignRows(
            energy=values.sum(axis=0),
            forces=np.ascontiguousarray(forces),
            strain_gradient=np.ascontiguousarray(strain.T),
        )
        return values, rows

    def _expand(self, atoms: Atoms, derivatives: bool) -> tuple[Array, Array, Array]:
        self.check(atoms)
        first_node = self.r_cut / (self._expansion.radial.shape[2] - 1)  # the radial tables begin there
        first, others, vectors, distances = neighbours_of(atoms, self.r_cut, closest=first_node)
        species = species_of(atoms, self.elements)
        return expand(self._expansion, species, first, others, distances, vectors, derivatives)

    def functions(self) -> dict[Species, list[Function]]:
        """The functions of every combination of elements: of one element, of two, ...

        Raises
        ------
        TamisError : there are fewer functions than combinations. ValueError : python-ace lacks functions of this shape.
        """
        combinations = combinations_of(self.elements)
        n = self.n_functions_per_element * len(self.elements) // len(combinations)
        if n == 0:
            raise TamisError(
                f"n_functions_per_element is {self.n_functions_per_element}, and each of {len(self.elements)} elements "
                f"has {len(combinations) // len(self.elements)} blocks of functions (with no other element, with "
                "one, ...); raise it to at least that number"
            )
        bounds = self.nradmax_by_orders, self.lmax_by_orders
        return {species: shortest_functions(species, n, *bounds) for species in combinations}

    def pyace_basis(self) -> Any:
        """A new ``pyace.ACEBBasisSet`` of this basis, all coefficients zero.

        Raises
        ------
        MissingEngineError : python-ace is not installed.
        TamisError : python-ace has no such functions.
        """
        pyace = import_pyace()
        bond = {
            "radbase": self.radial_basis,
            "radparameters": [self.radial_parameter],
            "rcutij": self.r_cut,
            "dcutij": self.cutoff_width,
            "NameOfCutoffFunctionij": "cos",
        }
        try:
            return pyace.ACEBBasisSet(make_configuration(self.functions(), bond, self.spline_spacing))
        except (ValueError, RuntimeError) as error:
            raise TamisError(
                f"python-ace cannot make this basis ({error}); lower nradmax_by_orders or lmax_by_orders, or raise "
                "n_functions_per_element"
            ) from error

    def _fitted(self, coefficients: Array) -> Any:
        basis = self.pyace_basis()
        if len(coefficients) != len(basis.basis_coeffs):
            raise TamisError(f"got {len(coefficients)} coefficients for {len(basis.basis_coeffs)} functions")
        basis.basis_coeffs = [float(c) for c in coefficients]
        return basis

    def _check_offsets(self, offsets: Array) -> None:
        if len(offsets) != len(self.elements):
            raise TamisError(f"got {len(offsets)} offsets for {len(self.elements)} elements; give one each")

    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """python-ace's own calculator of the fitted potential, with the offsets added."""
        self._check_offsets(offsets)
        return AceCalculator(self._fitted(coefficients), dict(zip(self.elements, offsets, strict=True)))

    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write ``ace.yaml`` and ``ace.yace`` (see ``write_potential``)."""
        self._check_offsets(offsets)
        return write_potential(
            folder, self._fitted(coefficients), dict(zip(self.elements, offsets, strict=True))
        )

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        """Lines for a LAMMPS with ML-PACE; atom types in the order of ``elements``."""
        return ("pair_style pace", f'pair_coeff * * "{folder / "ace.yace"}" {" ".join(self.elements)}')


@lru_cache(maxsize=8)
def expansion_of(basis: AceBasis) -> Expansion:
    """The functions as plain arrays, made once in a process and shared by equal bases."""
    return read_expansion(basis.pyace_basis(), len(basis.elements), basis.r_cut, basis.spline_spacing)
