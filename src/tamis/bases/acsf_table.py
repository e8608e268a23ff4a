"""A list of Behler-Parrinello symmetry functions, of any mix of types and parameters, and its values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.bases import acsf_kernel as kernel
from tamis.bases.vacuum import in_vacuum
from tamis.exceptions import TamisError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

RADIAL, NARROW, WIDE = 2, 3, 9
"""n2p2's numbers of the types: Behler's G2, G4 (its exponent and cutoff include the far side jk), G5."""

CUTOFF_TYPES = {
    "cos": kernel.COS,
    "tanhu": kernel.TANHU,
    "tanh": kernel.TANH,
    "exp": kernel.EXP,
    "poly1": kernel.POLY1,
    "poly2": kernel.POLY2,
    "poly3": kernel.POLY3,
    "poly4": kernel.POLY4,
}
"""Names of the cutoff functions and their numbers in ``cutoff_type`` of n2p2's input.nn."""


@dataclass(frozen=True)
class SymmetryFunction:
    """One symmetry function of atoms of the element ``central``.

    kind: 2 radial, 3 narrow angular, 9 wide angular.
    neighbours: element of the neighbour, or of the two neighbours (in any order).
    eta: 1/Å^2. r_s: Å. r_cut: Å. lambda_ and zeta: sign and sharpness of the angle (angular kinds only).
    """

    central: str
    kind: int
    neighbours: tuple[str, ...]
    eta: float
    r_s: float
    r_cut: float
    lambda_: float = 0.0
    zeta: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in (RADIAL, NARROW, WIDE):
            raise TamisError(f"symmetry function type {self.kind} is unknown; choose 2, 3 or 9")
        object.__setattr__(self, "neighbours", tuple(sorted(self.neighbours, key=atomic_numbers.__getitem__)))
        if len(self.neighbours) != (1 if self.kind == RADIAL else 2):
            raise TamisError(f"a symmetry function of type {self.kind} got neighbours {self.neighbours}")
        numbers = (self.eta, self.r_s, self.r_cut, self.lambda_, self.zeta)
        if not all(math.isfinite(x) for x in numbers) or self.eta < 0 or self.r_cut <= 0:
            raise TamisError(
                f"eta={self.eta} 1/Å², r_s={self.r_s} Å, r_cut={self.r_cut} Å, lambda={self.lambda_}, "
                f"zeta={self.zeta}: all must be finite, eta at least 0, r_cut above 0"
            )
        if self.kind != RADIAL and self.zeta <= 0:
            raise TamisError(f"zeta is {self.zeta}; an angular symmetry function needs a zeta above 0")

    @property
    def rank(self) -> tuple[float, ...]:
        """What n2p2 sorts by: type, r_cut, eta, r_s, zeta, lambda, atomic numbers of the neighbours."""
        numbers = (atomic_numbers[symbol] for symbol in self.neighbours)
        return (self.kind, self.r_cut, self.eta, self.r_s, self.zeta, self.lambda_, *numbers)


@dataclass(frozen=True, eq=False)
class _Angular:
    """Arguments of ``acsf_kernel.add_angular`` that belong to one central element."""

    narrow: NDArray[np.bool_]
    eta: Array
    r_s: Array
    r_cut: Array
    lambdas: Array
    zetas: Array
    start: Integers
    columns: Integers
    envelopes: Integers
    turns: Integers


@dataclass(frozen=True)
class SymmetryFunctionTable:
    """Symmetry functions of several elements; columns are sorted by central element, then as n2p2 sorts.

    elements: chemical symbols, one block of columns each, in this order.
    functions: any number, in any order.
    cutoff_type: a name in ``CUTOFF_TYPES``. cutoff_alpha: 0 <= alpha < 1, the cutoff function is 1 up to alpha * r_cut.
    """

    elements: tuple[str, ...]
    functions: tuple[SymmetryFunction, ...]
    cutoff_type: str = "cos"
    cutoff_alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.cutoff_type not in CUTOFF_TYPES:
            raise TamisError(f"cutoff_type is {self.cutoff_type!r}; choose one of {', '.join(CUTOFF_TYPES)}")
        if not 0.0 <= self.cutoff_alpha < 1.0:
            raise TamisError(f"cutoff_alpha is {self.cutoff_alpha}; it must be at least 0 and less than 1")
        named = {s for f in self.functions for s in (f.central, *f.neighbours)}
        if named - set(self.elements):
            raise TamisError(
                f"symmetry functions name {', '.join(sorted(named - set(self.elements)))}, which is not among the "
                f"elements {', '.join(self.elements)}"
            )
        order = sorted(self.functions, key=lambda f: (self.elements.index(f.central), f.rank))
        object.__setattr__(self, "functions", tuple(order))

    @property
    def r_cut(self) -> float:
        """Largest cutoff, Å."""
        return max((f.r_cut for f in self.functions), default=0.0)

    def values(self, atoms: Atoms) -> Array:
        """Symmetry functions of every atom, (n_atoms, n_functions), dimensionless.

        Raises
        ------
        TamisError : two atoms are on top of each other.
        """
        out = np.zeros((len(atoms), len(self.functions)))
        boxed = in_vacuum(atoms, 1.0)
        centre, other, vectors, distances = neighbour_list("ijDd", boxed, self.r_cut)
        if len(distances) and distances.min() < 1e-6:
            worst = int(distances.argmin())
            raise TamisError(
                f"atoms {centre[worst]} and {other[worst]} are at the same place: no angle is defined; "
                "correct or remove the structure"
            )
        first = np.searchsorted(centre, np.arange(len(atoms) + 1))
        index = {symbol: i for i, symbol in enumerate(self.elements)}
        species = np.array([index[s] for s in atoms.get_chemical_symbols()], dtype=np.int64)
        for element in range(len(self.elements)):
            centres = np.flatnonzero(species == element)
            if len(centres):
                self._add(element, centres, first, vectors, distances, species[other], out)
        return out

    def _add(
        self,
        element: int,
        centres: Integers,
        first: Integers,
        vectors: Array,
        distances: Array,
        species: Integers,
        out: Array,
    ) -> None:
        shape, alpha = CUTOFF_TYPES[self.cutoff_type], float(self.cutoff_alpha)
        radial, angular = self._radial[element], self._angular[element]
        kernel.add_radial(centres, first, distances, species, shape, alpha, *radial, out)
        if angular is None:
            return
        kernel.add_angular(
            centres,
            first,
            vectors,
            distances,
            species,
            shape,
            alpha,
            angular.narrow,
            angular.eta,
            angular.r_s,
            angular.r_cut,
            angular.lambdas,
            angular.zetas,
            angular.start,
            angular.columns,
            angular.envelopes,
            angular.turns,
            out,
        )

    def _of(self, element: str, angular: bool) -> list[tuple[int, SymmetryFunction]]:
        return [
            (column, f)
            for column, f in enumerate(self.functions)
            if f.central == element and (f.kind != RADIAL) == angular
        ]

    @cached_property
    def _radial(self) -> tuple[tuple[Integers, Integers, Array, Array, Array], ...]:
        """Per element: columns, neighbour elements, eta, r_s, r_cut of its radial functions."""
        lowered = []
        for element in self.elements:
            mine = self._of(element, angular=False)
            lowered.append(
                (
                    np.array([column for column, _ in mine], dtype=np.int64),
                    np.array([self.elements.index(f.neighbours[0]) for _, f in mine], dtype=np.int64),
                    np.array([f.eta for _, f in mine], dtype=float),
                    np.array([f.r_s for _, f in mine], dtype=float),
                    np.array([f.r_cut for _, f in mine], dtype=float),
                )
            )
        return tuple(lowered)

    @cached_property
    def _angular(self) -> tuple[_Angular | None, ...]:
        return tuple(self._lower_angular(self._of(element, angular=True)) for element in self.elements)

    def _lower_angular(self, mine: list[tuple[int, SymmetryFunction]]) -> _Angular | None:
        """Share envelopes and angle factors, and list the functions by the elements of the two neighbours."""
        if not mine:
            return None
        envelopes = _distinct((f.kind == NARROW, f.eta, f.r_s, f.r_cut) for _, f in mine)
        turns = _distinct((f.lambda_, f.zeta) for _, f in mine)
        n = len(self.elements)
        start = np.zeros((n, n + 1), dtype=np.int64)
        listed: list[tuple[int, int, int]] = []
        for a, first in enumerate(self.elements):
            start[a, 0] = len(listed)
            for b, second in enumerate(self.elements):
                listed += sorted(
                    (
                        envelopes.index((f.kind == NARROW, f.eta, f.r_s, f.r_cut)),
                        turns.index((f.lambda_, f.zeta)),
                        column,
                    )
                    for column, f in mine
                    if f.neighbours in ((first, second), (second, first))
                )
                start[a, b + 1] = len(listed)
        packed = np.array(listed, dtype=np.int64)
        return _Angular(
            narrow=np.array([e[0] for e in envelopes], dtype=np.bool_),
            eta=np.array([e[1] for e in envelopes], dtype=float),
            r_s=np.array([e[2] for e in envelopes], dtype=float),
            r_cut=np.array([e[3] for e in envelopes], dtype=float),
            lambdas=np.array([t[0] for t in turns], dtype=float),
            zetas=np.array([t[1] for t in turns], dtype=float),
            start=start,
            columns=np.ascontiguousarray(packed[:, 2]),
            envelopes=np.ascontiguousarray(packed[:, 0]),
            turns=np.ascontiguousarray(packed[:, 1]),
        )


def _distinct(keys: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return sorted(set(keys))
