"""Searches for neighbours, and the structures that they can treat; with others, engines hang or crash."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]

LARGEST = 1e5
"""Å; larger positions and cells lose digits, and are no structures of atoms."""
SMALLEST_VOLUME = 1e-6
"""Å³ of a periodic cell."""
MOST_NEIGHBOURS = 2000
"""Neighbours of an atom; more would take hours, and come from a wrong cutoff or cell."""
MOST_IMAGES = 10_000
"""Images of a cell within reach; a primitive cell has hundreds."""
SHORTEST_REACH = 1.0
"""Å; a search with a shorter one would cut a wide vacuum into too many boxes."""
MOST_BINS = 1e6
"""Cubes as wide as the reach that the box around a cell is cut into. Engines keep up to 130 bytes for each, empty or
not, and quests does not recover where memory ends."""


def check_geometry(atoms: Atoms, reach: float) -> None:
    """Raise TamisError unless neighbours within ``reach`` (Å) of every atom can be found in moderate time and memory.

    The volume of a structure that is not periodic in every direction is that of the atoms with half the reach around
    them.
    """
    extent = float(np.abs(atoms.positions).max(initial=0.0))
    # below, lists take the place of small arrays, whose overhead is what a small structure costs
    sides = [abs(x) for vector in atoms.cell.array.tolist() for x in vector]
    span = max(sides) if math.isfinite(sum(sides)) else math.inf
    if not math.isfinite(extent + span):
        raise TamisError("positions or cell hold NaN or infinity; correct or remove the structure")
    if not 0.0 <= reach <= LARGEST:
        raise TamisError(f"r_cut is {reach} Å; it must be from 0 to {LARGEST:g} Å, say 5 Å")
    if max(extent, span) > LARGEST:
        raise TamisError(
            f"positions or cell reach {max(extent, span):.3g} Å; at most {LARGEST:g} can be treated: are they in Å? "
            "move the structure to the origin, or make its cell smaller"
        )
    if any(atoms.pbc.tolist()) and (volume := periodic_volume(atoms)) < SMALLEST_VOLUME:
        raise TamisError(
            f"a periodic cell of volume {volume} Å³ has no neighbours; give the cell vectors of all periodic directions"
        )
    if len(atoms) and reach > 0.0:
        _check_cell(atoms, reach)


def periodic_volume(atoms: Atoms) -> float:
    """Volume of the cell, with vectors of 1 Å across where it is not periodic (a slab's area, a wire's length), Å³."""
    if all(atoms.pbc.tolist()):
        return _volume_and_areas(atoms.cell.array)[0]
    vectors = atoms.cell.array[atoms.pbc]
    return float(np.linalg.norm(np.cross(*vectors) if len(vectors) == 2 else vectors))


def _check_cell(atoms: Atoms, reach: float) -> None:
    cell = occupied_cell(atoms, reach)
    volume, areas = _volume_and_areas(cell)
    volume = max(volume, 1e-300)  # a flat cell has infinitely many neighbours
    neighbours = len(atoms) / volume * 4.0 / 3.0 * math.pi * reach**3
    if neighbours > MOST_NEIGHBOURS:
        raise TamisError(
            f"r_cut = {reach} Å gives about {neighbours:.0f} neighbours an atom in a structure of {len(atoms)} atoms "
            f"in {volume:.4g} Å³; at most {MOST_NEIGHBOURS} can be treated: lower r_cut, or look at the cell"
        )
    in_reach = [
        reach * area / volume for area, periodic in zip(areas, atoms.pbc.tolist(), strict=True) if periodic
    ]
    images = math.prod(2.0 * math.ceil(n) + 1.0 for n in in_reach)
    if images > MOST_IMAGES:
        raise TamisError(
            f"{images:.3g} images of the cell lie within r_cut = {reach} Å; at most {MOST_IMAGES} can be treated: "
            "lower r_cut, or take a less flat or skewed cell of the same crystal (ase.build.niggli_reduce)"
        )
    box = [
        sum(map(abs, along)) for along in zip(*cell.tolist(), strict=True)
    ]  # from the lowest to the highest corner
    bins = math.prod(max(length / reach, 1.0) for length in box)
    if bins > MOST_BINS:
        raise TamisError(
            f"the box around {volume:.3g} Å³ for {len(atoms)} atoms is {bins:.3g} cubes of r_cut = {reach} Å; at most "
            f"{MOST_BINS:g} can be treated: make the vacuum smaller, or the cell less skewed"
        )


def occupied_cell(atoms: Atoms, reach: float) -> Array:
    """The cell (3, 3), Å; along directions that are not periodic as long as the atoms and ``reach``."""
    if all(atoms.pbc.tolist()):
        return np.asarray(atoms.cell.array)
    cell = atoms.cell.array.copy()
    free = np.flatnonzero(~atoms.pbc)
    cell[free] = 0.0
    cell = atoms.cell.new(cell).complete().array  # unit vectors perpendicular to the periodic ones
    for axis in free:
        cell[axis] *= np.ptp(atoms.positions @ cell[axis]) + reach
    return np.asarray(cell)


def heights(cell: Array) -> Array:
    """Distances between the opposite faces of a cell, (3,), Å."""
    volume, areas = _volume_and_areas(cell)
    return volume / np.array(areas)


def _volume_and_areas(cell: Array) -> tuple[float, list[float]]:
    """Volume, and areas of the three faces; without arrays, whose overhead is what a small structure costs."""
    rows = cell.tolist()
    normals = []
    for k in range(3):
        (ax, ay, az), (bx, by, bz) = rows[k - 2], rows[k - 1]
        normals.append((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))
    volume = abs(sum(x * n for x, n in zip(rows[0], normals[0], strict=True)))
    return volume, [math.hypot(*normal) for normal in normals]


def in_vacuum(atoms: Atoms, width: float) -> Atoms:
    """A copy in a regular cell with vacuum where ``atoms`` is not periodic; the copy keeps its ``pbc`` flags.

    Engines want a cell that can be inverted and holds all atoms, even for a free cluster. Only relative positions
    enter a basis, so the atoms may be shifted.

    Parameters
    ----------
    atoms : any structure that passed ``check_geometry``.
    width : Å of vacuum on each side; with at least half the cutoff, images do not meet even if ``pbc`` is ignored.
    """
    if atoms.pbc.all():
        return atoms
    free = [axis for axis in range(3) if not atoms.pbc[axis]]
    boxed = Atoms(atoms.symbols, positions=atoms.positions, pbc=atoms.pbc)
    cell = atoms.cell.array.copy()
    cell[free] = 0.0
    boxed.cell = cell
    boxed.cell = boxed.cell.complete()
    boxed.center(vacuum=width, axis=free)
    return boxed


def neighbours_within(atoms: Atoms, reach: float, quantities: str = "ijd") -> Any:
    """Pairs of atoms nearer than ``reach`` (Å), each from both ends; periodic images count.

    Parameters
    ----------
    quantities : what to return of the pairs, as in ``matscipy.neighbours.neighbour_list``: first and second atom (ij),
        distance (d) and bond vector (D), Å.

    Raises
    ------
    TamisError : a structure that ``check_geometry`` refuses.
    """
    check_geometry(atoms, reach)
    return neighbour_list(quantities, in_vacuum(atoms, 1.0), reach)


def wrapped(atoms: Atoms, width: float) -> Atoms:
    """``in_vacuum``, with every atom inside the cell along its periodic directions.

    dscribe repeats cells, not atoms: an atom outside of the cell would miss neighbours.
    """
    boxed = in_vacuum(atoms, width)
    cell = boxed.cell.array
    outside = np.floor(np.linalg.solve(cell.T, boxed.positions.T).T) * boxed.pbc
    if not outside.any():
        return boxed
    inside = boxed.copy()
    inside.positions -= outside @ cell
    return inside
