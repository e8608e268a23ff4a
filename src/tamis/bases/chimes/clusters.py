"""Kinds of clusters of atoms in ChIMES: their cutoffs, their powers, and where they are in a structure.

Sources: Lindsey, Fried, Goldman, J. Chem. Theory Comput. 13, 6222 (2017) and 15, 436 (2019);
where these are silent, the behaviour of chimes_lsq and chimes_calculator.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.bases.base import Array
from tamis.bases.chimes.kernel import MOST_CLUSTERS, clusters
from tamis.bases.neighbours import Neighbours
from tamis.core.errors import TamisError

Powers = tuple[int, ...]
Kind = tuple[str, ...]
Indices = NDArray[np.int64]

LONGEST_MORSE_LENGTH = 1000.0
"""Å; with longer ones exp(-r / length) is practically constant."""


@dataclass(frozen=True)
class SlotLimits:
    """Limits of one kind of pair, triplet or quadruplet, in place of the common ones.

    atoms: 2 to 4 chemical symbols; kept in alphabetical order.
    s_min, s_max: inner and outer cutoff of every pair of the cluster, Å: a mapping by pair of elements, such as
        {Ge-Si: 4.0, Si-Si: 4.2}; or numbers for the pairs 01 02 03 12 13 23 of ``atoms`` as given. Kept as numbers
        for the alphabetical order. None keeps the common ones.
    morse_lambda: Å, only for pairs; their triplets and quadruplets use it, too.
    """

    atoms: tuple[str, ...]
    s_min: Mapping[str, float] | tuple[float, ...] | None = None
    s_max: Mapping[str, float] | tuple[float, ...] | None = None
    morse_lambda: float | None = None

    def __post_init__(self) -> None:
        given = tuple(self.atoms)
        if not 2 <= len(given) <= 4:
            raise TamisError(f"special atoms are {list(given)}; give 2, 3 or 4 symbols")
        order = sorted(range(len(given)), key=lambda place: given[place])
        object.__setattr__(self, "atoms", tuple(given[place] for place in order))
        for name in ("s_min", "s_max"):
            limits = getattr(self, name)
            if limits is not None:
                object.__setattr__(self, name, _in_order(f"special {name}", given, limits, order))
        if self.morse_lambda is not None and len(self.atoms) != 2:
            raise TamisError(
                f"special morse_lambda is given for {'-'.join(self.atoms)}, but it belongs to pairs; give it for "
                "the pairs of this cluster"
            )


def _in_order(
    name: str, atoms: Kind, limits: Mapping[str, float] | Sequence[float], order: Sequence[int]
) -> tuple[float, ...]:
    """Limits of the pairs 01 02 03 12 13 23 of ``atoms`` in this ``order``; TamisError unless each has one."""
    slots = list(itertools.combinations(range(len(atoms)), 2))
    if isinstance(limits, Mapping):
        by_pair = {tuple(sorted(str(pair).split("-"))): float(limit) for pair, limit in limits.items()}
        needed = [tuple(sorted((atoms[a], atoms[b]))) for a, b in slots]
        if set(by_pair) != set(needed) or len(by_pair) != len(limits):
            raise TamisError(
                f"{name} of {'-'.join(atoms)} has {', '.join(map(str, limits)) or 'nothing'}; give a number for each "
                f"of {', '.join(sorted({'-'.join(pair) for pair in needed}))}"
            )
        numbers = [by_pair[pair] for pair in needed]
    else:
        numbers = [float(limit) for limit in limits]
        if len(numbers) != len(slots):
            raise TamisError(
                f"{name} of {'-'.join(atoms)} has {len(numbers)} numbers; give one for each of its {len(slots)} pairs"
            )
    return tuple(numbers[slots.index((min(order[a], order[b]), max(order[a], order[b])))] for a, b in slots)


@dataclass(frozen=True, eq=False)
class ClusterType:
    """One kind of pair, triplet or quadruplet, and its basis functions.

    atoms: chemical symbols, alphabetical.
    limits: (n_slots, 3) s_min, s_max, Morse length of each pair of the cluster, Å, pairs in the order
        01 02 03 12 13 23.
    n_powers: a polynomial's power runs from 0 to n_powers - 1.
    orbits: for each basis function the powers (one per slot) of the products that it sums.
    column: number of the first function.
    """

    atoms: tuple[str, ...]
    limits: Array
    n_powers: int
    orbits: tuple[tuple[Powers, ...], ...]
    column: int

    @cached_property
    def terms(self) -> Indices:
        """(n_terms, 2) powers of the first and of the second half of the slots, each read as one number."""
        powers = np.array([p for orbit in self.orbits for p in orbit], dtype=np.int64)
        powers = powers.reshape(-1, len(self.limits))
        n_upper = (len(self.limits) + 1) // 2
        digits = self.n_powers ** np.arange(n_upper)[::-1]
        return np.stack(
            [powers[:, :n_upper] @ digits, powers[:, n_upper:] @ digits[2 * n_upper - len(self.limits) :]], 1
        )

    @cached_property
    def starts(self) -> Indices:
        """(n_functions + 1,) first term of each function, and the number of terms."""
        return np.cumsum([0, *(len(orbit) for orbit in self.orbits)], dtype=np.int64)


def clusters_by_kind(
    species: Indices,
    neighbours: Neighbours,
    types: Sequence[ClusterType],
    elements: Sequence[str],
) -> Iterator[tuple[ClusterType, Indices, Array]]:
    """All clusters of a structure, each once per cell, images included.

    species: (n_atoms,) place of each atom's element in ``elements``.
    neighbours: each pair once, up to the largest cutoff.

    Yields
    ------
    kind : one of ``types``.
    members : (n_clusters, size) atom numbers, in the order of the kind's elements.
    places : (n_clusters, size, 3) positions relative to an origin near the cluster, Å.

    Raises
    ------
    TamisError : there are more than ``MOST_CLUSTERS``.
    """
    first, others, vectors, distances = neighbours
    rank = {symbol: number for number, symbol in enumerate(sorted(elements))}
    ranks = np.array([rank[symbol] for symbol in elements])[species]
    for size in (2, 3, 4):
        kinds = [kind for kind in types if len(kind.atoms) == size]
        if not kinds:
            continue
        reach = max(kind.limits[:, 1].max() for kind in kinds)
        near = np.flatnonzero(distances < reach)
        first_near = np.searchsorted(near, first)
        try:
            members, places = clusters(size, first_near, others[near], vectors[near], reach)
        except MemoryError as error:
            raise TamisError(
                f"a structure of {len(species)} atoms has more than {MOST_CLUSTERS:g} clusters of {size} atoms within "
                f"{reach:g} Å; lower r_cut_{size}b, or look at its cell"
            ) from error
        if len(elements) == 1:  # sorting by element would only cost time
            yield kinds[0], members, places
            continue
        order = np.argsort(ranks[members], axis=1, kind="stable")
        members = np.take_along_axis(members, order, axis=1)
        places = np.take_along_axis(places, order[:, :, None], axis=1)
        for kind in kinds:
            chosen = (ranks[members] == [rank[symbol] for symbol in kind.atoms]).all(axis=1)
            yield kind, members[chosen], places[chosen]


def slot_limits(entry: SlotLimits | Mapping[str, Any]) -> SlotLimits:
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


def without_range(limits: Array) -> bool:
    """Whether a pair of the cluster has s_min = s_max: no distance is within them. ``limits`` as in ClusterType."""
    return bool((limits[:, 0] == limits[:, 1]).any())


def check_limits(atoms: tuple[str, ...], limits: Array, r_cut: float) -> None:
    """Raise TamisError where ``limits``, (n_slots, 3) s_min, s_max, Morse length, Å, make no kind of cluster."""
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
