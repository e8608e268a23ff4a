"""The functions of an ACE basis of several elements: python-ace's choice, found faster.

python-ace (``create_multispecies_basis_config``) makes every function that the bounds allow, checks them in a time that
grows with the square of their number, and keeps the shortest of each combination of elements: 1,200 of 64,000 for
three elements. Here functions are made from the shortest on, until a combination has enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import chain, combinations, combinations_with_replacement, groupby, product
from typing import NamedTuple

from tamis.core.trust import plain_data

Numbers = tuple[int, ...]
Species = tuple[str, ...]
"""The element of the central atom, and the others of a function, sorted."""


class Function(NamedTuple):
    """One product of density projections.

    elements: of the central atom, then of the neighbours of each factor. ns, ls: radial number, from 1, and angular
    momentum of each factor. between: intermediate angular momenta of the coupling.
    """

    elements: tuple[str, ...]
    ns: Numbers
    ls: Numbers
    between: Numbers

    @property
    def length(self) -> int:
        """python-ace's "power order", by which it chooses functions."""
        return len(self.ns) + sum(self.ns) + sum(self.ls)


class Radial(NamedTuple):
    """Elements of the neighbours and radial numbers of the factors of some functions, and their largest l."""

    neighbours: Species
    ns: Numbers
    l_max: int

    @property
    def length(self) -> int:
        """A lower bound of the length of its functions."""
        return len(self.ns) + sum(self.ns)


def combinations_of(elements: Sequence[str]) -> list[Species]:
    """Every element with every set of the others, in python-ace's order."""
    sizes = range(len(elements))
    return [
        species
        for size in sizes
        for species in sorted(
            (center, *others)
            for center in elements
            for others in combinations(sorted(set(elements) - {center}), size)
        )
    ]


def shortest_functions(species: Species, n: int, n_max: Numbers, l_max: Numbers) -> list[Function]:
    """The ``n`` shortest functions of these elements; among equally long ones those that python-ace makes first.

    Parameters
    ----------
    n_max, l_max : largest radial number and angular momentum in products of 1, 2, 3 ... factors.

    Returns
    -------
    In python-ace's order: by number of factors, then radial numbers, then angular momenta.

    Raises
    ------
    ValueError : python-ace does not know the independent ones of such products.
    """
    names = sorted(species)
    places = (names.index(species[0]), *(i for i, name in enumerate(names) if name != species[0]))
    return [
        function._replace(elements=tuple(names[int(place)] for place in function.elements))
        for function in _shortest(tuple(f"{place:03d}" for place in places), n, n_max, l_max)
    ]


@lru_cache(maxsize=64)
def _shortest(species: Species, n: int, n_max: Numbers, l_max: Numbers) -> tuple[Function, ...]:
    """``shortest_functions``, made once for all combinations that differ only in the names."""
    radials = list(_radials(species, n_max, l_max))
    # for all radial parts, so that all products that python-ace does not know are refused
    angular = [_angular_parts(radial) for radial in radials]
    found: list[tuple[int, int, Function]] = []  # length, turn, function
    turns = sorted(range(len(radials)), key=lambda turn: radials[turn].length)
    for least, alike in groupby(turns, key=lambda turn: radials[turn].length):
        if sum(length < least for length, _, _ in found) >= n:
            break  # no other is shorter
        for turn in alike:
            neighbours, ns, limit = radials[turn]
            for ls, between in angular[turn]:
                if max(ls) <= limit:
                    function = Function((species[0], *neighbours), ns, ls, between)
                    found.append((function.length, turn, function))
    found.sort(key=lambda item: item[:2])
    chosen = [function for _, _, function in found[:n]]
    return tuple(sorted(chosen, key=lambda f: (len(f.ns), f.ns, f.ls, f.between, f.elements)))


def _radials(species: Species, n_max: Numbers, l_max: Numbers) -> Iterator[Radial]:
    """Radial parts that have every element of the combination, in the order in which python-ace makes them."""
    for rank, (most, limit) in enumerate(zip(n_max, l_max, strict=True), start=1):
        for neighbours in combinations_with_replacement(sorted(species), rank):
            if {species[0], *neighbours} == set(species):
                yield from (Radial(neighbours, ns, limit) for ns in _radial_numbers(neighbours, most))


def _radial_numbers(neighbours: Sequence[str], most: int) -> Iterator[Numbers]:
    """Radial numbers of the factors, up to ``most``, in rising order for equal neighbours."""
    runs = [len(list(equal)) for _, equal in groupby(neighbours)]
    for parts in product(*(combinations_with_replacement(range(1, most + 1), run) for run in runs)):
        yield tuple(chain.from_iterable(parts))


def _angular_parts(radial: Radial) -> Sequence[tuple[Numbers, Numbers]]:
    """Angular momenta, and those between, of the independent functions of a radial part."""
    factors = list(zip(radial.neighbours, radial.ns, strict=True))
    kinds = {factor: kind for kind, factor in enumerate(dict.fromkeys(factors))}
    pattern, known = tuple(kinds[factor] for factor in factors), independent_functions()
    if pattern not in known:
        raise ValueError(f"it does not know the independent products of {len(factors)} factors {pattern}")
    return known[pattern]


@lru_cache(maxsize=1)
def independent_functions() -> Mapping[Numbers, Sequence[tuple[Numbers, Numbers]]]:
    """(l of each factor, L between) of the independent functions, by the pattern of equal factors.

    The table comes with python-ace; the pattern (0, 0, 1) stands for two equal projections and another.
    """
    table = files("pyace.data").joinpath("mus_ns_uni_to_rawlsLS_np_rank.pckl").read_bytes()
    return {
        pattern: [(tuple(ls), tuple(between)) for ls, between in functions]
        for pattern, functions in plain_data(table).items()
    }
