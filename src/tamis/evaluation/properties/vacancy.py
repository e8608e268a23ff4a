"""Vacancy: formation and migration energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from tamis.core.fields import Between, Checked, Whole
from tamis.core.metrics import VACANCY_FORMATION, VACANCY_MIGRATION, VACANCY_UNRELAXED
from tamis.data.crystal import ATOMS_PER_CUBE
from tamis.evaluation.properties.base import Array, Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.quasi_newton import Place, minimum, saddle
from tamis.evaluation.properties.relaxation import StoppingCriteria, relaxed_lattice_constant
from tamis.evaluation.properties.site_symmetry import Operation, kept_by, operations_about
from tamis.evaluation.properties.springs import force_constants, without_atom

SHELL = 1.1
"""Neighbours of a site are nearer than this many nearest distances."""
DISPLACEMENT = 0.02
"""Å, of an atom in the crystal, for the springs that relaxations start from."""
SMALL_RISE = 1e-3
"""eV; a path that rises by less above the symmetric middle has its highest point there."""


@dataclass(frozen=True)
class Vacancy(Checked, Property):
    """One atom missing in a supercell of the relaxed lattice constant.

    n_atoms: the smallest cubic supercell with at least this many is used. inward: starts of the relaxation, with the
    neighbours moved towards the vacancy by this part of their distance; the lowest energy counts (a potential may have
    a shallow minimum, as Stillinger and Weber's does). relaxation: of the ions. migration: whether the barrier of a
    neighbour's jump into the vacancy is searched. path: limits of this search.

    Structures keep the symmetry of the site, and of the jump: forces cannot break it.
    """

    n_atoms: Annotated[int, Whole(1)]
    inward: Annotated[tuple[float, ...], Between(0, 0.5, say=0.2, below=True)]
    relaxation: StoppingCriteria
    migration: bool
    path: StoppingCriteria

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """vacancy_formation_unrelaxed_eV, vacancy_formation_eV, vacancy_migration_eV."""
        a = relaxed_lattice_constant(sample)
        repeat = int(np.ceil((self.n_atoms / ATOMS_PER_CUBE[sample.crystal.structure]) ** (1 / 3) - 1e-9))
        full = sample.crystal.cubic(a).repeat(repeat)
        primitive = sample.crystal.primitive(a)
        rest = sample.energy(primitive) / len(primitive) * (len(full) - 1)
        vacant = full[1:]
        yield Measured({VACANCY_UNRELAXED: sample.energy(vacant) - rest}, {"n_atoms": len(full)})
        springs = without_atom(force_constants(sample, full, repeat, DISPLACEMENT, sides=(1,)), 0)
        operations = operations_about(vacant, full.positions[0])
        inward, start = self._lowest(sample, vacant, full.positions[0], springs, kept_by(operations))
        yield Measured({VACANCY_FORMATION: start.energy - rest}, {"lowest_from_inward": inward})
        if self.migration:
            yield self._path(sample, Jump.of(vacant, full.positions[0], operations), start)

    def _lowest(
        self, sample: Sample, vacant: Atoms, site: Array, springs: Array, directions: Array
    ) -> tuple[float, Place]:
        """The start that leads to the lowest energy, and where it leads."""
        found, failed = [], []
        for inward in self.inward:
            start = moved_in(vacant, site, inward)
            try:
                place = minimum(Place.of(start, sample, springs), sample, self.relaxation, directions)
            except PropertyError as error:
                failed.append(f"from {inward} inward: {error}")
            else:
                found.append((place.energy, inward, place))
                springs = place.springs
        if not found:
            raise PropertyError("; ".join(failed))
        _, inward, place = min(found, key=lambda one: one[:2])
        return inward, place

    def _path(self, sample: Sample, jump: Jump, start: Place) -> Measured:
        """The highest point of the path of lowest energy, half of which is the other half's mirror image.

        The middle is a minimum among symmetric structures, so no path is lower than it. Where the straight line from the
        start to it is not higher, it is the saddle point; else this is searched from the line's highest point.
        """
        middle = minimum(
            Place.of(jump.middle_of(start.atoms), sample, start.springs),
            sample,
            self.path,
            kept_by(jump.of_middle),
        )
        line = middle.atoms.positions - start.atoms.positions
        between = start.atoms.copy()
        between.positions += 0.5 * line
        half = Place.of(between, sample, middle.springs)
        slopes = [-float((place.forces * line).sum()) for place in (start, half, middle)]
        at, rise, curvature = highest([place.energy for place in (start, half, middle)], slopes)
        points = [start, middle, start]
        if rise > SMALL_RISE:
            near = start.atoms.copy()
            near.positions += at * line
            uphill = line.ravel() / np.linalg.norm(line)
            springs = middle.springs
            known = curvature / float((line**2).sum())
            springs = springs + np.outer(uphill, uphill) * (known - uphill @ springs @ uphill)
            top = saddle(Place.of(near, sample, springs), sample, self.path, kept_by(jump.of_path), uphill)
            points = [start, top, middle, top, start]
        energies = [place.energy - start.energy for place in points]
        return Measured({VACANCY_MIGRATION: max(energies)}, {"path_eV": energies})


@dataclass(frozen=True, eq=False)
class Jump:
    """The jump of a neighbour into the vacancy.

    ideal: the crystal's other atoms in their places, the jumper in the middle of its way. of_path, of_middle: symmetries
    of the structures on the way, and of those in its middle.
    """

    ideal: Atoms
    of_path: list[Operation]
    of_middle: list[Operation]

    @classmethod
    def of(cls, vacant: Atoms, site: Array, operations: list[Operation]) -> Jump:
        """Of the first of the nearest neighbours of ``site``; operations: about it."""
        ways, distances = find_mic(site - vacant.positions, vacant.cell)
        jumper = int(np.argmin(distances))
        ideal = vacant.copy()
        ideal.positions[jumper] += 0.5 * ways[jumper]
        of_path = [one for one in operations if one.onto[jumper] == jumper]
        return cls(ideal, of_path, operations_about(ideal, ideal.positions[jumper]))

    def middle_of(self, start: Atoms) -> Atoms:
        """Half way between ``start`` and its mirror image, the end."""
        moves = start.positions - self.ideal.positions
        middle = self.ideal.copy()
        middle.positions += np.mean([one.turned(moves) for one in self.of_middle], axis=0)
        return middle


def highest(energies: Sequence[float], slopes: Sequence[float]) -> tuple[float, float, float]:
    """The highest point between 0 and 1 of the polynomial through energies and slopes at 0, 0.5 and 1.

    Returns
    -------
    Its place; how much it is above the higher end; the polynomial's second derivative there.
    """
    ends = np.array([0.0, 0.5, 1.0])
    powers = np.arange(6)
    values = ends[:, None] ** powers
    derivatives = powers * ends[:, None] ** np.maximum(powers - 1, 0)
    curve = np.polynomial.Polynomial(np.linalg.solve(np.vstack([values, derivatives]), [*energies, *slopes]))
    grid = np.linspace(0.0, 1.0, 201)
    at = float(grid[np.argmax(curve(grid))])
    return at, float(curve(at)) - max(energies[0], energies[2]), float(curve.deriv(2)(at))


def moved_in(vacant: Atoms, site: np.ndarray, part: float) -> Atoms:
    """``vacant`` with the neighbours of ``site`` moved towards it by ``part`` of their distance."""
    vectors, distances = find_mic(site - vacant.positions, vacant.cell)
    near = distances < SHELL * distances.min()
    moved = vacant.copy()
    moved.positions[near] += part * vectors[near]
    return moved
