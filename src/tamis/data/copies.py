"""Finds structures that are copies of each other, with the same energy per atom for any potential.

The order of atoms, the choice of periodic images, translations, rotations, reflections, and the size of a cell change
neither the energy per atom nor the distances between atoms. So two structures are copies if the sorted distances
of each pair of elements agree, each as often per atom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import gcd

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

TOLERANCE = 5e-4
"""Å; largest difference between distances of copies: files keep positions to 1e-4 Å at worst."""
SHORTEST_REACH, RADII = 5.0, 3.0
"""Distances up to 5 Å, or three covalent radii of the largest atom, are compared: two shells of a crystal or more."""
PLACES = np.array([0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])
"""Places in the sorted list of all distances that are compared first, in quarters of the number of atoms."""

Spectrum = dict[tuple[int, int], Array]
"""Numbers of two elements -> sorted distances between their atoms, Å; every distance twice, once from each end."""


def copies_of(structures: Sequence[Atoms]) -> Indices:
    """Number of the set of copies that each structure belongs to, (n,); counted from 0 in the order of first members.

    A structure in which neighbours cannot be found has no copies.
    """
    numbers = {int(n) for atoms in structures for n in atoms.numbers if 0 < n < len(covalent_radii)}
    reach = max([SHORTEST_REACH, *(RADII * float(covalent_radii[n]) for n in numbers)])
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    first = np.arange(len(structures))
    marks = np.full((len(structures), len(PLACES)), np.nan)
    for i, atoms in enumerate(structures):
        distances = _distances(atoms, reach)
        if distances is not None:
            marks[i] = _marks(distances, len(atoms), reach)
            alike.setdefault(_composition(atoms), []).append(i)
    for members in alike.values():
        _find_copies(structures, np.array(members), marks, reach, first)
    return np.asarray(np.unique(first, return_inverse=True)[1], dtype=np.intp)


def _find_copies(
    structures: Sequence[Atoms], members: Indices, marks: Array, reach: float, first: Indices
) -> None:
    """Write into ``first`` the first copy of each of ``members``, which have one composition.

    Marks are compared first, so that all distances are compared for hardly any structures that are no copies.
    """
    column = int(np.argmax(np.std(marks[members], axis=0)))  # separates most of them
    order = members[np.argsort(marks[members, column], kind="stable")]
    key = marks[order]
    is_head = np.zeros(len(order), dtype=np.bool_)
    spectra: dict[int, Spectrum] = {}
    begins = np.searchsorted(key[:, column], key[:, column] - TOLERANCE)
    for place, (i, begin) in enumerate(zip(order, begins, strict=True)):
        near = (np.abs(key[begin:place] - key[place]) <= TOLERANCE).all(axis=1) & is_head[begin:place]
        for head in order[begin + np.flatnonzero(near)]:
            for k in (head, i):
                if k not in spectra:
                    spectra[k] = _spectrum(structures[k], reach)
            if _agree(spectra[head], len(structures[head]), spectra[i], len(structures[i]), reach):
                first[i] = head
                break
        is_head[place] = first[i] == i
    later = members[first[members] != members]
    for head in set(first[later].tolist()):  # the head came first in order of marks, not of the data set
        same = members[first[members] == head]
        first[same] = same.min()


def _composition(atoms: Atoms) -> tuple[tuple[int, int], ...]:
    """Elements and their numbers of atoms, in the smallest whole numbers."""
    counts = Counter(atoms.numbers.tolist())
    unit = gcd(*counts.values())
    return tuple((element, counts[element] // unit) for element in sorted(counts))


def _distances(atoms: Atoms, reach: float) -> Array | None:
    """Distances of all pairs within ``reach``, Å; None if they cannot be found."""
    if len(atoms) == 0:
        return None
    try:
        return np.asarray(neighbours_within(atoms, reach, "d"))
    except TamisError:
        return None


def _marks(distances: Array, n_atoms: int, reach: float) -> Array:
    """The distances, Å, at PLACES of their sorted list; the reach behind its end.

    Those of copies agree as all distances do, whatever the sizes of their cells: with r times the atoms every distance
    is there r times, and floor(floor(r x) / r) = floor(x).
    """
    places = PLACES * n_atoms // 4
    found = np.full(len(places), reach)
    within = places < len(distances)
    found[within] = np.sort(distances)[places[within]]
    return found


def _spectrum(atoms: Atoms, reach: float) -> Spectrum:
    first, second, distance = neighbours_within(atoms, reach)
    low, high = np.sort(atoms.numbers[np.array([first, second])], axis=0)
    elements = np.unique(atoms.numbers).tolist()
    return {(a, b): np.sort(distance[(low == a) & (high == b)]) for a in elements for b in elements if a <= b}


def _agree(one: Spectrum, n_one: int, other: Spectrum, n_other: int, reach: float) -> bool:
    """Whether the sorted distances agree; one that only one of them has counts as one at the reach."""
    unit = gcd(n_one, n_other)
    for pair in one:  # both have the same elements
        a, b = np.repeat(one[pair], n_other // unit), np.repeat(other[pair], n_one // unit)
        n = max(len(a), len(b))
        padded = (np.concatenate([d, np.full(n - len(d), reach)]) for d in (a, b))
        if n and float(np.abs(np.subtract(*padded)).max()) > TOLERANCE:
            return False
    return True
