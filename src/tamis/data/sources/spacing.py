"""Measures ``atom_spacing``, the length by which default cutoffs scale, on the structures.

``atom_spacing`` is the cube root of the volume that an atom fills in the typical structure of low energy. The volume of
a structure is that of its cell. Along a direction that is open (not periodic, or with a gap wider than ``GAP`` covalent
diameters, as between slabs) the extent of the atoms and one more spacing d take the place of the cell's height, so that
d solves N d^3 = V(d). Structures with the fewest open directions count: crystals and melts if there are any, else
slabs, wires, and molecules. Of these, the quarter with the lowest energies (above the best sum of one energy per
element) gives the median, which is rounded to ``STEP``: a few structures more or less change no cutoff, and so none of
the rows that are stored under it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import SMALLEST_VOLUME
from tamis.data.checks import energy_residuals
from tamis.data.dataset import Dataset

Array = NDArray[np.float64]

GAP = 2.0
"""Covalent diameters of the largest atom. Graphite's layers are 2.2 apart, caesium's densest planes 0.9."""
SHORTEST_GAP = 5.0
"""Å; layers of molecules and of van der Waals crystals are nearer."""
LOWEST = 0.25
"""Part of the structures that counts: those of lowest energy."""
MOST = 1000
"""Structures in the sample, evenly spread over the set."""
STEP = 0.05
"""Å."""
SANE = (0.5, 12.0)
"""Å; range of possible values (solid hydrogen 2.2, neon 2.8, caesium 4.8)."""
FAR_OFF = 1.25
"""Factor between a given spacing and the data's above which one is wrong; other phases have less."""


@lru_cache(maxsize=2)
def spacing_of(dataset: Dataset) -> float:
    """Å, rounded to ``STEP``.

    Raises
    ------
    TamisError : no structure has two atoms whose distance says anything.
    """
    asked = range(0, len(dataset), max(-(-len(dataset) // MOST), 1))
    found = [(i, *spacing_of_structure(dataset.structures[i])) for i in asked]
    sane = [(i, n_open, d) for i, n_open, d in found if SANE[0] <= d <= SANE[1]]
    if not sane:
        raise TamisError(
            "dataset.atom_spacing does not follow from these data (isolated atoms, or cells without volume); give it: "
            "the cube root of the crystal's volume per atom in Å"
        )
    fewest = min(n_open for _, n_open, _ in sane)
    chosen = [(i, d) for i, n_open, d in sane if n_open == fewest]
    lowest = _of_low_energy(dataset.subset([i for i, _ in chosen]))
    typical = float(np.median([chosen[k][1] for k in lowest]))
    return round(max(round(typical / STEP), 1) * STEP, 6)


def _of_low_energy(dataset: Dataset) -> NDArray[np.intp]:
    """Indices of the quarter of the structures with the lowest energies; all if energies are missing."""
    known = all(0 < number <= 118 for atoms in dataset.structures for number in np.unique(atoms.numbers))
    if not (known and np.isfinite(dataset.energies).all()):
        return np.arange(len(dataset))
    residuals = energy_residuals(dataset)
    return np.flatnonzero(residuals <= np.quantile(residuals, LOWEST) + 1e-9)


def spacing_of_structure(atoms: Atoms) -> tuple[int, float]:
    """Number of open directions, and the spacing in Å (NaN: undefined)."""
    nothing = (3, float("nan"))
    finite = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
    if not len(atoms) or not finite:
        return nothing
    periodic = atoms.pbc & atoms.cell.array.any(axis=1)
    cell = atoms.cell.array
    if periodic.any() and np.linalg.matrix_rank(cell[periodic]) < periodic.sum():
        return nothing
    if not periodic.all():
        cell = np.where(periodic[:, None], cell, 0.0)
        cell = np.asarray(atoms.cell.new(cell).complete().array)
    volume = abs(float(np.linalg.det(cell)))
    if volume < SMALLEST_VOLUME:
        return nothing
    inverse = np.linalg.inv(cell)
    tall = 1.0 / np.linalg.norm(inverse, axis=0)  # heights of the cell, Å
    along = atoms.positions @ inverse * tall  # Å along the normals of the cell's faces
    diameters = 2.0 * covalent_radii[np.clip(atoms.numbers, 0, len(covalent_radii) - 1)]
    widest = max(GAP * float(diameters.max()), SHORTEST_GAP)
    gaps = [_gap(along[:, k], tall[k]) if periodic[k] else np.inf for k in range(3)]
    is_open = np.array([gap > widest for gap in gaps])
    if is_open.all():
        centred = atoms.positions - atoms.positions.mean(axis=0)
        if periodic.any():  # a molecule in a box, which it may cross
            centred = _together(along, tall, gaps)
        extents = np.ptp(centred @ np.linalg.eigh(centred.T @ centred)[1], axis=0)  # along its principal axes
        return 3, _solve(extents, 1.0, len(atoms))
    extents = np.array([tall[k] - gaps[k] if periodic[k] else np.ptp(along[:, k]) for k in range(3)])
    skew = volume / float(np.prod(tall))  # of the heights and the edges
    filled = skew * float(np.prod(tall[~is_open]))
    return int(is_open.sum()), _solve(extents[is_open], filled, len(atoms))


def _gap(along: Array, height: float) -> float:
    """The widest stretch without atoms of a periodic direction."""
    inside = np.sort(along % height)
    return float(np.diff(np.append(inside, inside[0] + height)).max())


def _together(along: Array, tall: Array, gaps: list[float]) -> Array:
    """Positions with the gaps of the periodic directions outside; nearly right in skewed boxes."""
    moved = along - along.mean(axis=0)
    for k, gap in enumerate(gaps):
        if np.isfinite(gap):
            inside = np.sort(along[:, k] % tall[k])
            steps = np.diff(np.append(inside, inside[0] + tall[k]))
            start = inside[(int(np.argmax(steps)) + 1) % len(inside)]
            moved[:, k] = (along[:, k] - start) % tall[k]
    return np.asarray(moved - moved.mean(axis=0))


def _solve(extents: Array, filled: float, n_atoms: int) -> float:
    """The d with n_atoms d^3 = filled times the product of (extent + d); NaN: there is none.

    The right side over d^3 falls with d, so bisection finds the only solution.
    """
    if len(extents) == 3 and extents.max() < 1e-3:
        return float("nan")  # an isolated atom has no spacing
    low, high = 1e-3, 1e3

    def too_small(d: float) -> bool:
        return filled * float(np.prod(extents + d)) > n_atoms * d**3

    if not too_small(low) or too_small(high):
        return float("nan")
    while high / low > 1.0 + 1e-9:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return low
