"""What functions a ChIMES basis has: its fields, and the kinds of clusters that follow from them.

Sources: Lindsey, Fried, Goldman, J. Chem. Theory Comput. 13, 6222 (2017) and 15, 436 (2019);
where these are silent, the behaviour of chimes_lsq and chimes_calculator.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np

from tamis.bases.base import Array, LinearBasis
from tamis.bases.chimes.clusters import (
    ClusterType,
    SlotLimits,
    check_limits,
    orbits_of_powers,
    slot_limits,
    without_range,
)
from tamis.core.errors import TamisError
from tamis.core.fields import AtLeast, Between, OneOf, Whole

Cutoff = Literal["cubic", "tersoff"]

LARGEST_ORDERS = {"order_2b": 100, "order_3b": 30, "order_4b": 8}
"""Functions of higher orders do not fit in memory; usual orders are 12 to 25, 5 to 12 and 0 to 6."""


@dataclass(frozen=True)
class ChimesFunctions(LinearBasis):
    """Sums over pairs, triplets and quadruplets of atoms, every one counted once, images included.

    A function of a cluster is sum over powers of prod over its pairs of f_c(r) T_power(x(r)), with T the Chebyshev
    polynomials of the first kind, x linear in exp(-r / morse_lambda), +1 at s_min and -1 at s_max (Lindsey
    2017). The sum runs over the different power sets that exchanges of atoms of one element turn into each other: they
    share a coefficient, each with weight one. For pairs the powers are 1 .. order_2b. For triplets and quadruplets
    they are 0 .. order - 1 (as in the input of chimes_lsq) and every atom must touch a pair with a power above 0.

    Columns: in the order of chimes_lsq, without its columns of atom counts: kinds of pairs (like ones first, in the
    order of ``elements``), of triplets, of quadruplets. So there is **no block by the element of the central
    atom**, unlike other bases: each kind of cluster has its own block. In ``values`` each atom of a cluster gets an
    equal share (1/2, 1/3, 1/4), so that the sum over the atoms is the energy row of the structure.

    Inside s_min every polynomial is continued as chimes_calculator does it (from its value and slope at s_min, the
    slope fading within 0.01 Å), for 2-, 3- and 4-body functions. chimes_lsq leaves such pairs out of its 2-body
    columns.

    The penalty of ChIMES for short distances, penalty_scaling (s_min + penalty_distance - r)^3 for every pair with r
    below s_min + penalty_distance, has no coefficient to fit. It is **not in the design rows but always in the
    calculator and the file**: rows @ coefficients and the calculator differ only where pairs are that close.

    Parameters
    ----------
    elements : chemical symbols. Sorted ones are the rule; another order changes the order of the columns only.
    r_cut : s_max of pairs, Å; the largest cutoff.
    r_cut_3b, r_cut_4b : s_max of the pairs in triplets and in quadruplets, Å, at most r_cut. Where ``special`` gives a
        kind of pair a smaller s_max, its triplets and quadruplets end there too.
    s_min : inner cutoff of all pairs, Å; best a little below the shortest distance in the data.
    morse_lambda : length of the Morse transform, Å; about a bond length.
    order_2b, order_3b, order_4b : number of powers (see above); 0 leaves the kind out.
    cutoff : "cubic" (1 - r/s_max)^3, or "tersoff" (1, then half a cosine wave: better conditioned).
    cutoff_fraction : outer part of the range in which "tersoff" falls from 1 to 0; "cubic" ignores it.
    special : limits of single kinds of clusters: ``SlotLimits``, or mappings of their fields. A pair whose s_min is
        its s_max has neither functions nor penalty, and no triplet and quadruplet with it has functions.
    penalty_distance : Å; where the penalty begins, above s_min.
    penalty_scaling : eV/Å³; 433.641 is the 1e4 kcal/mol/Å³ of chimes_calculator.

    Raises
    ------
    TamisError : limits that do not fit together, or that differ between pairs that an exchange of like atoms turns
        into each other.
    """

    elements: tuple[str, ...]
    r_cut: float
    r_cut_3b: float
    r_cut_4b: float
    s_min: float
    morse_lambda: float
    order_2b: Annotated[int, Whole(0, LARGEST_ORDERS["order_2b"])]
    order_3b: Annotated[int, Whole(0, LARGEST_ORDERS["order_3b"])]
    order_4b: Annotated[int, Whole(0, LARGEST_ORDERS["order_4b"])]
    cutoff: Annotated[Cutoff, OneOf("cubic", "tersoff")]
    cutoff_fraction: Annotated[float, Between(0, 1, say=0.5, above=True)]
    special: tuple[SlotLimits, ...] = ()
    penalty_distance: Annotated[float, AtLeast(0, "Å")] = 0.01
    penalty_scaling: Annotated[float, AtLeast(0, "eV/Å³")] = 433.641

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "elements", tuple(self.elements))
        object.__setattr__(self, "special", tuple(slot_limits(entry) for entry in self.special))
        if not self.elements or len(set(self.elements)) != len(self.elements):
            raise TamisError(f"elements are {list(self.elements)}; name at least one element, each once")
        self._check_many_body()
        self._check_special()
        self._check_limits()

    def _check_many_body(self) -> None:
        for kind, order, r_cut in (
            ("3b", self.order_3b, self.r_cut_3b),
            ("4b", self.order_4b, self.r_cut_4b),
        ):
            if order == 1:
                raise TamisError(
                    f"order_{kind} is 1; it must be at least 2, or 0 to leave these functions out"
                )
            if order > 0 and not r_cut <= self.r_cut:
                raise TamisError(
                    f"r_cut_{kind} is {r_cut} Å, more than r_cut = {self.r_cut} Å, the cutoff of pairs; lower it or "
                    "raise r_cut"
                )

    def _check_limits(self) -> None:
        for size, order in ((2, 1), (3, self.order_3b), (4, self.order_4b)):
            for atoms in self._kinds(size) if order > 0 else ():
                if not self._left_out(atoms):
                    check_limits(atoms, self.limits_of(atoms), self.r_cut)
        if self.n_features == 0:
            raise TamisError(
                "no function is left; raise order_2b, order_3b or order_4b, or an s_max in special"
            )
        for atoms in self._kinds(2):
            s_min, s_max, _ = self.limits_of(atoms)[0]
            if s_min < s_max <= s_min + self.penalty_distance:
                raise TamisError(
                    f"penalty_distance is {self.penalty_distance} Å: above s_min = {s_min} Å of {'-'.join(atoms)} it "
                    f"reaches the cutoff of {s_max} Å; lower it, say to 0.01"
                )

    def _check_special(self) -> None:
        for entry in self.special:
            unknown = sorted(set(entry.atoms) - set(self.elements))
            if unknown:
                raise TamisError(
                    f"special limits name {', '.join(unknown)}, but the elements are {', '.join(self.elements)}"
                )
        if len({entry.atoms for entry in self.special}) != len(self.special):
            raise TamisError("special limits name a kind of cluster twice; give each kind one entry")

    @property
    def n_features(self) -> int:
        """Number of columns: functions of all kinds of pairs, triplets and quadruplets."""
        return sum(len(kind.orbits) for kind in self.types)

    @cached_property
    def types(self) -> tuple[ClusterType, ...]:
        """All kinds of clusters that have functions, in the order of their columns; pairs also without any."""
        types: list[ClusterType] = []
        column = 0
        for size, n_powers in ((2, self.order_2b + 1), (3, self.order_3b), (4, self.order_4b)):
            for atoms in self._kinds(size) if n_powers > 1 or size == 2 else ():
                limits = self.limits_of(atoms)
                orbits = () if self._left_out(atoms) else orbits_of_powers(atoms, n_powers)
                types.append(ClusterType(atoms, limits, n_powers, orbits, column))
                column += len(orbits)
        return tuple(types)

    @property
    def tersoff(self) -> float:
        """The cutoff as the kernels have it: cutoff_fraction, or 0 for the cubic one."""
        return float(self.cutoff_fraction) if self.cutoff == "tersoff" else 0.0

    def _kinds(self, size: int) -> Iterator[tuple[str, ...]]:
        """Kinds of clusters of ``size`` atoms in chimes_lsq's order: like pairs come before unlike ones."""
        kinds = list(itertools.combinations_with_replacement(self.elements, size))
        if size == 2:
            kinds.sort(key=lambda pair: pair[0] != pair[1])
        return (tuple(sorted(kind)) for kind in kinds)

    def _left_out(self, atoms: tuple[str, ...]) -> bool:
        """Whether ``special`` gives a pair of the cluster no range."""
        own = {entry.atoms for entry in self.special}
        pairs = {tuple(sorted(pair)) for pair in itertools.combinations(atoms, 2)}
        return any(without_range(self.limits_of(pair)) for pair in pairs & own)

    def limits_of(self, atoms: tuple[str, ...]) -> Array:
        """s_min, s_max, Morse length of every slot, (n_slots, 3), Å."""
        pairs = itertools.combinations(atoms, 2)
        if len(atoms) == 2:
            limits = np.array([[self.s_min, self.r_cut, self.morse_lambda]], dtype=float)
        else:
            limits = np.concatenate([self.limits_of(tuple(pair)) for pair in pairs])
            limits[:, 1] = np.minimum(limits[:, 1], self.r_cut_3b if len(atoms) == 3 else self.r_cut_4b)
        for entry in self.special:
            if entry.atoms == atoms:
                for number, given in enumerate((entry.s_min, entry.s_max, entry.morse_lambda)):
                    if given is not None:
                        limits[:, number] = given
        return limits
