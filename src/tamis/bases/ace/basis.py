"""Linear atomic cluster expansion: the B-basis of python-ace (pacemaker), evaluated by our own kernel.

python-ace defines the functions (which products, their couplings, the radial tables) and reads and writes the
files; ``ace_kernel`` evaluates them, because python-ace gives no strain derivative per function and its force rows
cost many times the basis itself. python-ace: Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021); Bochkarev et
al., Phys. Rev. Mater. 6, 013804 (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.ace.functions import Block, Function, blocks_of, shortest_functions
from tamis.bases.ace.kernel import Expansion, expand
from tamis.bases.ace.pyace import (
    AceCalculator,
    import_pyace,
    make_configuration,
    read_expansion,
    write_potential,
)
from tamis.bases.base import DesignRows, LinearBasis
from tamis.core.errors import TamisError
from tamis.core.geometry import in_vacuum

Array = NDArray[np.float64]
Integers = NDArray[np.integer]

RADIAL_BASES = ("SBessel", "ChebExpCos", "ChebPow")
"""Those of python-ace that go smoothly to zero at the cutoff."""


@dataclass(frozen=True)
class AceBasis(LinearBasis):
    """Linear ACE, equal to python-ace's B-basis with one density and a linear embedding.

    elements: chemical symbols.
    r_cut: cutoff of all pairs, Å.
    n_functions_per_element: at most so many functions, the shortest products first; with E > 1 elements they are dealt
        out evenly over the E-element blocks (Si, Si-Mo, ...). The next two lists bound them as well.
    nradmax_by_orders: radial functions in products of 1, 2, 3 ... factors.
    lmax_by_orders: largest angular momentum in products of 1, 2, 3 ... factors; the first must be 0.
    radial_basis: SBessel, ChebExpCos or ChebPow.
    radial_parameter: exponent of ChebExpCos (decay) or ChebPow (power); SBessel has none and ignores it.
    cutoff_width: width of the outer cosine of ChebExpCos, Å; the others ignore it.
    spline_spacing: spacing of the radial tables, Å.
    """

    elements: tuple[str, ...]
    r_cut: float
    n_functions_per_element: int
    nradmax_by_orders: tuple[int, ...]
    lmax_by_orders: tuple[int, ...]
    radial_basis: str
    radial_parameter: float
    cutoff_width: float
    spline_spacing: float

    revision: ClassVar[int] = 1
    engine: ClassVar[str | None] = "python-ace"

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(str(e) for e in self.elements)))
        object.__setattr__(self, "nradmax_by_orders", tuple(int(n) for n in self.nradmax_by_orders))
        object.__setattr__(self, "lmax_by_orders", tuple(int(n) for n in self.lmax_by_orders))
        self._check_elements()
        self._check_shape()
        self._check_radial()

    def _check_elements(self) -> None:
        unknown = [e for e in self.elements if atomic_numbers.get(e, 0) == 0]
        if not self.elements or unknown or len(set(self.elements)) < len(self.elements):
            raise TamisError(f"elements is {self.elements}; give different chemical symbols, at least one")

    def _check_shape(self) -> None:
        if self.n_functions_per_element < 1:
            raise TamisError(
                f"n_functions_per_element is {self.n_functions_per_element}; it must be at least 1, say 400"
            )
        n_max, l_max = self.nradmax_by_orders, self.lmax_by_orders
        if not n_max or len(n_max) != len(l_max):
            raise TamisError(
                f"nradmax_by_orders has {len(n_max)} and lmax_by_orders {len(l_max)} entries; they need one each for "
                "products of 1, 2, ... factors"
            )
        if min(n_max) < 1 or min(l_max) < 0 or l_max[0] != 0:
            raise TamisError(
                f"nradmax_by_orders is {n_max}, lmax_by_orders {l_max}; the first list needs numbers of at least 1, "
                "the second numbers of at least 0 and to start with 0 (a single factor has no angle)"
            )

    def _check_radial(self) -> None:
        if not self.r_cut > 0.0:
            raise TamisError(f"r_cut is {self.r_cut} Å; it must be positive, say 6")
        if self.radial_basis not in RADIAL_BASES:
            raise TamisError(
                f"radial_basis is {self.radial_basis!r}; choose one of {', '.join(RADIAL_BASES)}"
            )
        if not self.radial_parameter > 0.0:
            raise TamisError(f"radial_parameter is {self.radial_parameter}; it must be positive, say 5.25")
        if not 0.0 < self.cutoff_width <= self.r_cut:
            raise TamisError(
                f"cutoff_width is {self.cutoff_width} Å; it must lie between 0 and r_cut = {self.r_cut} Å"
            )
        if not 0.0 < self.spline_spacing <= self.r_cut / 100.0:
            raise TamisError(
                f"spline_spacing is {self.spline_spacing} Å; it must be positive and at most r_cut / 100, say 0.001"
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
        """Values and design rows in one pass; raises TamisError for atoms that lie on top of each other."""
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
        first, second, distances, vectors = find_pairs(atoms, self.r_cut)
        self._check_distances(first, second, distances)
        return expand(
            self._expansion,
            np.array([self.elements.index(s) for s in atoms.get_chemical_symbols()]),
            np.searchsorted(first, np.arange(len(atoms) + 1)),
            second.astype(np.int64),
            distances,
            vectors,
            derivatives,
        )

    def _check_distances(self, first: Integers, second: Integers, distances: Array) -> None:
        n_bins = self._expansion.radial.shape[2] - 1
        if len(distances) and distances.min() * n_bins / self.r_cut < 1.0:
            pair = int(distances.argmin())
            raise TamisError(
                f"atoms {first[pair]} and {second[pair]} are {distances[pair]:.2g} Å apart; correct or remove the "
                "structure"
            )

    def functions(self) -> dict[Block, list[Function]]:
        """The functions of every block: of one element, of two, ...

        Raises
        ------
        TamisError : there is none for each block. ValueError : python-ace has none of such a shape.
        """
        blocks = blocks_of(self.elements)
        n = self.n_functions_per_element * len(self.elements) // len(blocks)
        if n == 0:
            raise TamisError(
                f"n_functions_per_element is {self.n_functions_per_element}, and each of {len(self.elements)} elements "
                f"has {len(blocks) // len(self.elements)} blocks of functions (with no other element, with one, ...); "
                "raise it to at least that number"
            )
        bounds = self.nradmax_by_orders, self.lmax_by_orders
        return {block: shortest_functions(block, n, *bounds) for block in blocks}

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
    """The functions as plain arrays: made once in a process, and shared by equal bases."""
    return read_expansion(basis.pyace_basis(), len(basis.elements), basis.r_cut, basis.spline_spacing)


def find_pairs(atoms: Atoms, r_cut: float) -> tuple[Integers, Integers, Array, Array]:
    """All pairs closer than ``r_cut``, every periodic image counted, in the order of the first atom.

    Returns
    -------
    first and second atom (n_pairs,), distance (n_pairs,) Å, vector from first to second (n_pairs, 3) Å.
    """
    from matscipy.neighbours import neighbour_list

    return neighbour_list("ijdD", in_vacuum(atoms, 1.0), r_cut)
