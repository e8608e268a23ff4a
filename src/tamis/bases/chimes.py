"""ChIMES: 2-, 3- and 4-body Chebyshev polynomials of Morse-transformed distances.

Sources: Lindsey, Fried, Goldman, J. Chem. Theory Comput. 13, 6222 (2017) and 15, 436 (2019);
where these are silent, the behaviour of chimes_lsq and chimes_calculator.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.bases.base import Array, Basis, DesignRows
from tamis.bases.chimes_kernel import add_clusters, clusters
from tamis.exceptions import TamisError

Powers = tuple[int, ...]
Cutoff = Literal["cubic", "tersoff"]

LONGEST_MORSE_LENGTH = 1000.0
"""Å; beyond it exp(-r / length) is a constant to all digits that matter."""


@dataclass(frozen=True)
class SlotLimits:
    """What one kind of pair, triplet or quadruplet has instead of the common limits.

    atoms: 2 to 4 chemical symbols in alphabetical order.
    s_min, s_max: inner and outer cutoff of every pair of the cluster, Å, in the order 01 02 03 12 13 23 (as far as
        there are that many atoms); None keeps the common ones.
    morse_lambda: Å, only for pairs: their triplets and quadruplets have the same.
    """

    atoms: tuple[str, ...]
    s_min: tuple[float, ...] | None = None
    s_max: tuple[float, ...] | None = None
    morse_lambda: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(self.atoms))
        if not 2 <= len(self.atoms) <= 4 or list(self.atoms) != sorted(self.atoms):
            raise TamisError(
                f"special atoms are {list(self.atoms)}; give 2, 3 or 4 symbols in alphabetical order"
            )
        n_slots = math.comb(len(self.atoms), 2)
        for name in ("s_min", "s_max"):
            given = getattr(self, name)
            if given is None:
                continue
            object.__setattr__(self, name, tuple(float(s) for s in given))
            if len(given) != n_slots:
                raise TamisError(
                    f"special {name} of {'-'.join(self.atoms)} has {len(given)} numbers; give one for each of "
                    f"its {n_slots} pairs"
                )
        if self.morse_lambda is not None and len(self.atoms) != 2:
            raise TamisError(
                f"special morse_lambda is given for {'-'.join(self.atoms)}, but it belongs to pairs; give it for "
                "the pairs of this cluster"
            )


@dataclass(frozen=True, eq=False)
class ClusterType:
    """One kind of pair, triplet or quadruplet, and its basis functions.

    atoms: chemical symbols, alphabetical.
    limits: (n_slots, 3) s_min, s_max, Morse length of each pair of the cluster, Å, pairs in the order
        01 02 03 12 13 23.
    n_powers: a polynomial's power runs from 0 to n_powers - 1.
    orbits: one entry per basis function: the powers (one per slot) of the products that it is the sum of.
    column: number of the first function.
    """

    atoms: tuple[str, ...]
    limits: Array
    n_powers: int
    orbits: tuple[tuple[Powers, ...], ...]
    column: int

    @cached_property
    def terms(self) -> NDArray[np.int64]:
        """(n_terms, 2) powers of the first and of the second half of the slots, each read as one number."""
        powers = np.array([p for orbit in self.orbits for p in orbit], dtype=np.int64)
        n_upper = (len(self.limits) + 1) // 2
        digits = self.n_powers ** np.arange(n_upper)[::-1]
        return np.stack(
            [powers[:, :n_upper] @ digits, powers[:, n_upper:] @ digits[2 * n_upper - len(self.limits) :]], 1
        )

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(n_functions + 1,) first term of each function, and the number of terms."""
        return np.cumsum([0, *(len(orbit) for orbit in self.orbits)], dtype=np.int64)


@dataclass(frozen=True)
class ChimesBasis(Basis):
    """Sums over pairs, triplets and quadruplets of atoms, every one counted once, images included.

    A function of a cluster is sum over powers of prod over its pairs of f_c(r) T_power(x(r)), with T the Chebyshev
    polynomials of the first kind, x linear in exp(-r / morse_lambda), +1 at s_min and -1 at s_max (Lindsey
    2017). The sum runs over the different power sets that exchanges of atoms of one element turn into each other: they
    share a coefficient, each with weight one. For pairs the powers are 1 .. order_2b. For triplets and quadruplets
    they are 0 .. order - 1 (as in the input of chimes_lsq) and every atom must touch a pair with a power above 0.

    Columns: in the order of chimes_lsq, without its columns of atom counts: kinds of pairs (like ones first, in the
    order of ``elements``), of triplets, of quadruplets. So there is **no block by the element of the central
    atom**, unlike other bases: each kind of cluster has its own block. In ``values`` each atom of a
    cluster gets an equal share (1/2, 1/3, 1/4), so that the sum over the atoms is the energy row of the structure.

    Inside s_min every polynomial is continued as chimes_calculator does it (from its value and slope at s_min, the
    slope fading within 0.01 Å), for 2-, 3- and 4-body functions. chimes_lsq leaves such pairs out of its 2-body
    columns. The penalty of ChIMES for short distances has no coefficient to fit and is not part of the basis.

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
    cutoff_fraction : outer part of the range in which "tersoff" falls from 1 to 0, above 0, at most 1; "cubic" has no
        use for it.
    special : limits of single kinds of clusters: ``SlotLimits``, or mappings of their fields.

    Raises
    ------
    TamisError : a value outside these ranges, or limits that differ between pairs that an exchange of like atoms
        turns into each other.
    """

    elements: tuple[str, ...]
    r_cut: float
    r_cut_3b: float
    r_cut_4b: float
    s_min: float
    morse_lambda: float
    order_2b: int
    order_3b: int
    order_4b: int
    cutoff: Cutoff
    cutoff_fraction: float
    special: tuple[SlotLimits, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(self.elements))
        object.__setattr__(self, "special", tuple(_slot_limits(entry) for entry in self.special))
        if not self.elements or len(set(self.elements)) != len(self.elements):
            raise TamisError(f"elements are {list(self.elements)}; name at least one element, each once")
        self._check_orders()
        self._check_cutoff()
        self._check_special()
        for size, order in ((2, 1), (3, self.order_3b), (4, self.order_4b)):
            for atoms in self._kinds(size) if order > 0 else ():
                _check_limits(atoms, self._limits(atoms), self.r_cut)

    def _check_orders(self) -> None:
        for name, lowest in (("order_2b", 1), ("order_3b", 2), ("order_4b", 2)):
            order = getattr(self, name)
            if not isinstance(order, int) or order < 0 or 0 < order < lowest:
                raise TamisError(
                    f"{name} is {order!r}; it must be a whole number of at least {lowest}, or 0 to leave it out"
                )
        if self.order_2b == self.order_3b == self.order_4b == 0:
            raise TamisError(
                "order_2b, order_3b and order_4b are all 0: no function is left; raise one of them"
            )

    def _check_cutoff(self) -> None:
        if self.cutoff not in ("cubic", "tersoff"):
            raise TamisError(f"cutoff is {self.cutoff!r}; it must be cubic or tersoff")
        if self.cutoff == "tersoff" and not 0.0 < self.cutoff_fraction <= 1.0:
            raise TamisError(
                f"cutoff_fraction is {self.cutoff_fraction}; it must be above 0 and at most 1, say 0.5"
            )
        for name, order in (("r_cut_3b", self.order_3b), ("r_cut_4b", self.order_4b)):
            if order > 0 and not getattr(self, name) <= self.r_cut:
                raise TamisError(
                    f"{name} is {getattr(self, name)} Å, more than r_cut = {self.r_cut} Å, the cutoff of pairs; ChIMES "
                    "needs its many-body cutoffs to be at most that of the pairs: lower it or raise r_cut"
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
        """All kinds of clusters that have functions, in the order of their columns."""
        types: list[ClusterType] = []
        column = 0
        for size, n_powers in ((2, self.order_2b + 1), (3, self.order_3b), (4, self.order_4b)):
            for atoms in self._kinds(size) if n_powers > 1 else ():
                orbits = orbits_of_powers(atoms, n_powers)
                types.append(ClusterType(atoms, self._limits(atoms), n_powers, orbits, column))
                column += len(orbits)
        return tuple(types)

    def _kinds(self, size: int) -> Iterator[tuple[str, ...]]:
        """Kinds of clusters of ``size`` atoms in chimes_lsq's order: like pairs come before unlike ones."""
        kinds = list(itertools.combinations_with_replacement(self.elements, size))
        if size == 2:
            kinds.sort(key=lambda pair: pair[0] != pair[1])
        return (tuple(sorted(kind)) for kind in kinds)

    def _limits(self, atoms: tuple[str, ...]) -> Array:
        """s_min, s_max, Morse length of every slot, (n_slots, 3), Å."""
        pairs = itertools.combinations(atoms, 2)
        if len(atoms) == 2:
            limits = np.array([[self.s_min, self.r_cut, self.morse_lambda]], dtype=float)
        else:
            limits = np.concatenate([self._limits(tuple(pair)) for pair in pairs])
            limits[:, 1] = np.minimum(limits[:, 1], self.r_cut_3b if len(atoms) == 3 else self.r_cut_4b)
        for entry in self.special:
            if entry.atoms == atoms:
                for number, given in enumerate((entry.s_min, entry.s_max, entry.morse_lambda)):
                    if given is not None:
                        limits[:, number] = given
        return limits

    def values(self, atoms: Atoms) -> Array:
        """Basis functions shared among the atoms of each cluster, (n_atoms, n_features), dimensionless."""
        values = np.zeros((len(atoms), self.n_features))
        self._accumulate(atoms, values, np.empty((0, 3, self.n_features)), np.empty((6, 0)))
        return values

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """``values`` and the design rows with analytic derivatives."""
        values = np.zeros((len(atoms), self.n_features))
        forces = np.zeros((len(atoms), 3, self.n_features))
        strain = np.zeros((6, self.n_features))
        self._accumulate(atoms, values, forces, strain)
        return values, DesignRows(energy=values.sum(axis=0), forces=forces, strain_gradient=strain)

    def _accumulate(self, atoms: Atoms, values: Array, forces: Array, strain: Array) -> None:
        self.check(atoms)
        first, neighbours, vectors = half_neighbours(atoms, self.r_cut)
        distances = np.linalg.norm(vectors, axis=1)
        alphabet = sorted(self.elements)
        ranks = np.array([alphabet.index(symbol) for symbol in atoms.get_chemical_symbols()])
        tersoff = float(self.cutoff_fraction) if self.cutoff == "tersoff" else 0.0
        for size in (2, 3, 4):
            types = [kind for kind in self.types if len(kind.atoms) == size]
            if not types:
                continue
            reach = max(kind.limits[:, 1].max() for kind in types)
            near = np.flatnonzero(distances < reach)
            first_near = np.searchsorted(near, first)
            members, places = clusters(size, first_near, neighbours[near], vectors[near], reach)
            order = np.argsort(ranks[members], axis=1, kind="stable")
            members = np.take_along_axis(members, order, axis=1)
            places = np.take_along_axis(places, order[:, :, None], axis=1)
            for kind in types:
                chosen = (ranks[members] == [alphabet.index(symbol) for symbol in kind.atoms]).all(axis=1)
                add_clusters(
                    members[chosen], places[chosen], kind.limits, tersoff, kind.n_powers, kind.terms,
                    kind.starts, kind.column, values, forces, strain,
                )  # fmt: skip


def _slot_limits(entry: SlotLimits | Mapping[str, Any]) -> SlotLimits:
    """An entry of ``special``; a configuration gives mappings."""
    if isinstance(entry, SlotLimits):
        return entry
    known = {"atoms", "s_min", "s_max", "morse_lambda"}
    if "atoms" not in entry or not known.issuperset(entry):
        raise TamisError(
            f"an entry of special has the keys {', '.join(sorted(entry))}; it needs atoms, and may have s_min, s_max "
            "and morse_lambda"
        )
    return SlotLimits(entry["atoms"], entry.get("s_min"), entry.get("s_max"), entry.get("morse_lambda"))


def half_neighbours(atoms: Atoms, r_cut: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Every pair of atoms nearer than ``r_cut`` (Å) once, images included.

    Images of atoms are ordered by atom number, then by lattice translation; a pair is listed at its smaller member.

    Returns
    -------
    first : (n_atoms + 1,) the neighbours of atom i are rows first[i] .. first[i + 1] - 1 of the other two.
    neighbours : (n_pairs,) atom numbers.
    vectors : (n_pairs, 3) from atom to neighbour, Å.

    Raises
    ------
    TamisError : two atoms are at the same place.
    """
    completed = atoms.copy()
    completed.cell = atoms.cell.complete()  # the engine inverts the cell, also where it is not periodic
    i, j, shifts, vectors, distances = neighbour_list("ijSDd", completed, float(r_cut))
    if len(distances) and distances.min() < 1e-6:
        pair = int(distances.argmin())
        raise TamisError(
            f"atoms {i[pair]} and {j[pair]} are {distances[pair]} Å apart: there is no direction between "
            "them; correct or remove the structure"
        )
    x, y, z = shifts.T
    upwards = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    kept = (j > i) | ((j == i) & upwards)
    first = np.searchsorted(i[kept], np.arange(len(atoms) + 1)).astype(np.int64)
    return first, j[kept].astype(np.int64), np.ascontiguousarray(vectors[kept])


def orbits_of_powers(atoms: tuple[str, ...], n_powers: int) -> tuple[tuple[Powers, ...], ...]:
    """Sets of powers that share a coefficient, in the order in which chimes_lsq numbers them.

    Parameters
    ----------
    atoms : symbols of the cluster's atoms.
    n_powers : powers of a slot run from 0 to n_powers - 1.

    Returns
    -------
    One entry per basis function: the different arrangements (one power per slot, slots in the order
    01 02 03 12 13 23) that exchanges of like atoms lead to. Every atom touches a slot with a power above 0.
    """
    slots = list(itertools.combinations(range(len(atoms)), 2))
    exchanges = exchanged_slots(atoms)
    seen: set[Powers] = set()
    orbits: list[tuple[Powers, ...]] = []
    for powers in itertools.product(range(n_powers), repeat=len(slots)):
        touched = {atom for slot, power in zip(slots, powers, strict=True) if power > 0 for atom in slot}
        if powers in seen or len(touched) < len(atoms):
            continue
        orbit = sorted({tuple(powers[s] for s in exchange) for exchange in exchanges})
        seen.update(orbit)
        orbits.append(tuple(orbit))
    return tuple(orbits)


def exchanged_slots(atoms: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Where each slot goes under every exchange of like atoms: a list of permutations of the slots."""
    slots = list(itertools.combinations(range(len(atoms)), 2))
    number = {frozenset(slot): n for n, slot in enumerate(slots)}
    return [
        tuple(number[frozenset((order[a], order[b]))] for a, b in slots)
        for order in itertools.permutations(range(len(atoms)))
        if all(atoms[new] == old for new, old in zip(order, atoms, strict=True))
    ]


def _check_limits(atoms: tuple[str, ...], limits: Array, r_cut: float) -> None:
    name = "-".join(atoms)
    for s_min, s_max, morse in limits:
        if not 0.0 <= s_min < s_max < math.inf:
            raise TamisError(
                f"{name} has s_min = {s_min} Å and a cutoff of {s_max} Å; s_min must be at least 0 and smaller than "
                "the cutoff (r_cut, r_cut_3b, r_cut_4b, special)"
            )
        if s_max > r_cut:
            raise TamisError(
                f"{name} has s_max = {s_max} Å, more than r_cut = {r_cut} Å, which is the largest cutoff; raise r_cut "
                "or lower the special s_max"
            )
        if not 0.0 < morse <= LONGEST_MORSE_LENGTH:
            raise TamisError(
                f"morse_lambda of {name} is {morse} Å; it must be above 0 and at most {LONGEST_MORSE_LENGTH}, about "
                "a bond length"
            )
    if any((limits[list(exchange)] != limits).any() for exchange in exchanged_slots(atoms)):
        raise TamisError(
            f"the limits of {name} differ between pairs of its slots that an exchange of like atoms turns into each "
            f"other: {limits[:, :2].tolist()}; give these pairs the same s_min and s_max"
        )
