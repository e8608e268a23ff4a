"""Lists of Behler-Parrinello symmetry functions of any types and parameters, and their values and gradients."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.acsf import gradient_kernel, kernel
from tamis.bases.neighbours import neighbours_of
from tamis.core.elements import species_of
from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Between, Checked, OneOf

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

RADIAL, NARROW, WIDE = 2, 3, 9
"""n2p2's numbers of the types: Behler's G2, G4 (includes the far side jk) and G5."""

CUTOFF_TYPES = {
    "hard": kernel.HARD,
    "cos": kernel.COS,
    "tanhu": kernel.TANHU,
    "tanh": kernel.TANH,
    "exp": kernel.EXP,
    "poly1": kernel.POLY1,
    "poly2": kernel.POLY2,
    "poly3": kernel.POLY3,
    "poly4": kernel.POLY4,
}
"""Names of the cutoff functions and their numbers in ``cutoff_type`` of n2p2's input.nn. ``hard`` jumps to 0."""


@dataclass(frozen=True)
class SymmetryFunction(Checked):
    """One symmetry function of atoms of the element ``central``.

    kind: 2 radial, 3 narrow angular, 9 wide angular.
    neighbours: element of the neighbour, or of the two neighbours (in any order).
    eta: 1/Å^2. r_s: Å. r_cut: Å. lambda_ and zeta: sign and sharpness of the angle (angular kinds only).
    """

    central: str
    kind: Annotated[int, OneOf(RADIAL, NARROW, WIDE)]
    neighbours: tuple[str, ...]
    eta: Annotated[float, AtLeast(0, "1/Å²")]
    r_s: Annotated[float, Between(unit="Å")]
    r_cut: Annotated[float, Above(0, "Å")]
    lambda_: Annotated[float, Between()] = 0.0
    zeta: Annotated[float, Between()] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [symbol for symbol in (self.central, *self.neighbours) if symbol not in atomic_numbers]
        if unknown:
            raise TamisError(f"{', '.join(map(repr, unknown))} in a symmetry function is no chemical symbol")
        object.__setattr__(self, "neighbours", tuple(sorted(self.neighbours, key=atomic_numbers.__getitem__)))
        if len(self.neighbours) != (1 if self.kind == RADIAL else 2):
            raise TamisError(f"a symmetry function of type {self.kind} got neighbours {self.neighbours}")
        if self.kind != RADIAL and self.zeta <= 0:
            raise TamisError(f"zeta is {self.zeta}; an angular symmetry function needs a zeta above 0")

    @property
    def rank(self) -> tuple[float, ...]:
        """n2p2's sort key: type, r_cut, eta, r_s, zeta, lambda, atomic numbers of the neighbours."""
        numbers = (atomic_numbers[symbol] for symbol in self.neighbours)
        return (self.kind, self.r_cut, self.eta, self.r_s, self.zeta, self.lambda_, *numbers)


@dataclass(frozen=True)
class SymmetryFunctionTable(Checked):
    """Symmetry functions of several elements; columns are sorted by central element, then as n2p2 sorts.

    elements: chemical symbols, one block of columns each, in this order.
    functions: any number, in any order.
    cutoff_type: a name in ``CUTOFF_TYPES``. cutoff_alpha: 0 <= alpha < 1, the cutoff function is 1 up to alpha * r_cut.
    """

    elements: tuple[str, ...]
    functions: tuple[SymmetryFunction, ...]
    cutoff_type: Annotated[str, OneOf(*CUTOFF_TYPES)] = "cos"
    cutoff_alpha: Annotated[float, Between(0, 1, below=True)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
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
        first, others, vectors, distances = neighbours_of(atoms, self.r_cut)
        species = species_of(atoms, self.elements)
        for element, functions in enumerate(self.compiled):
            centres = np.flatnonzero(species == element)
            kernel.add_values(
                functions, centres, first, vectors, distances, species[others], self.columns[element], out
            )
        return out

    def gradients(self, atoms: Atoms) -> tuple[Integers, Integers, Array, Array]:
        """Derivatives of every atom's functions by positions and strain.

        Every element must have the same number of functions, m.

        Returns
        -------
        centres, moved : (n_pairs,) atom i and the atom j that is moved (all its images together; i itself too).
        by_position : (n_pairs, 3, m) dG_i/dr_j, 1/Å; the functions of the element of i, in the order of columns.
        by_strain : (n_atoms, 6, m), Voigt xx yy zz yz xz xy with eps_yz = eps_zy = e_yz / 2.
        """
        near = neighbours_of(atoms, self.r_cut)
        species = species_of(atoms, self.elements)
        counts = gradient_kernel.count_partners(near.first, near.others, len(atoms))
        start = np.concatenate([[0], np.cumsum(counts)])
        width = self.compiled[0].n_slots
        moved = np.empty(start[-1], dtype=np.int64)
        by_position = np.empty((start[-1], 3, width))
        by_strain = np.empty((len(atoms), 6, width))
        centre_of_row = np.repeat(np.arange(len(atoms)), counts)
        for element, functions in enumerate(self.compiled):
            centres = np.flatnonzero(species == element)
            gradient_kernel.add_gradients(
                functions, centres, *near, species[near.others], start, moved, by_position, by_strain
            )
            by_column = np.argsort(self.columns[element])
            by_strain[centres] = by_strain[centres][:, :, by_column]
            rows = species[centre_of_row] == element
            by_position[rows] = by_position[rows][:, :, by_column]
        return centre_of_row, moved, by_position, by_strain

    @cached_property
    def compiled(self) -> tuple[kernel.Functions, ...]:
        """The functions of each element in the form for the kernels."""
        return tuple(part for part, _ in self._lowered)

    @cached_property
    def columns(self) -> tuple[Integers, ...]:
        """The column of each slot of each element's compiled functions."""
        return tuple(columns for _, columns in self._lowered)

    @cached_property
    def _lowered(self) -> tuple[tuple[kernel.Functions, Integers], ...]:
        return tuple(self._lower(element) for element in self.elements)

    def _lower(self, element: str) -> tuple[kernel.Functions, Integers]:
        """Slots and segments of one central element (see ``Functions``), and the column of each slot."""
        mine = [(column, f) for column, f in enumerate(self.functions) if f.central == element]
        radial = [
            [(column, f) for column, f in mine if f.kind == RADIAL and f.neighbours == (other,)]
            for other in self.elements
        ]
        flat = [entry for entries in radial for entry in entries]
        columns = [column for column, _ in flat]
        angular = [(column, f) for column, f in mine if f.kind != RADIAL]
        envelopes = sorted({_envelope(f) for _, f in angular})
        n = len(self.elements)
        kinds: list[tuple[int, ...]] = []
        segments: list[tuple[int, int, int, int]] = []
        turns: list[tuple[float, float]] = []
        for a, b in combinations_with_replacement(range(n), 2):
            pair = {self.elements[a], self.elements[b]}
            of_pair = [(column, f) for column, f in angular if set(f.neighbours) == pair]
            before = len(segments), len(turns)
            runs: dict[tuple[tuple[float, float], ...], int] = {}
            for number, envelope in enumerate(envelopes):
                run = sorted((f.lambda_, f.zeta, column) for column, f in of_pair if _envelope(f) == envelope)
                if not run:
                    continue
                key = tuple((lambda_, zeta) for lambda_, zeta, _ in run)
                if key not in runs:
                    runs[key] = len(turns)
                    turns += key
                segments.append((number, runs[key], len(columns), len(run)))
                columns += [column for _, _, column in run]
            if len(segments) > before[0]:
                kinds.append((a, b, before[0], len(segments), before[1], len(turns)))
        compiled = kernel.Functions(
            shape=CUTOFF_TYPES[self.cutoff_type],
            alpha=float(self.cutoff_alpha),
            radial_start=np.cumsum([0, *map(len, radial)], dtype=np.int64),
            radial=np.array([(f.eta, f.r_s, f.r_cut) for _, f in flat], dtype=float).reshape(-1, 3),
            envelopes=np.array(envelopes, dtype=float).reshape(-1, 4),
            turns=np.array(turns, dtype=float).reshape(-1, 2),
            kinds=np.array(kinds, dtype=np.int64).reshape(-1, 6),
            segments=np.array(segments, dtype=np.int64).reshape(-1, 4),
            n_slots=len(columns),
            all_narrow=all(bool(e[0]) for e in envelopes),
            reach=max((float(e[3]) for e in envelopes), default=0.0),
        )
        return compiled, np.array(columns, dtype=np.int64)


def _envelope(f: SymmetryFunction) -> tuple[bool, float, float, float]:
    return (f.kind == NARROW, float(f.eta), float(f.r_s), float(f.r_cut))
