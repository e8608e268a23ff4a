"""Vacancy: formation and migration energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from tamis.core.fields import Between, Checked, Whole
from tamis.core.metrics import (
    VACANCY_FORMATION,
    VACANCY_FORMATION_OF,
    VACANCY_MIGRATION,
    VACANCY_UNRELAXED,
    VACANCY_UNRELAXED_OF,
)
from tamis.data.crystal import ATOMS_PER_CUBE
from tamis.data.unit_cell import UnitCell
from tamis.evaluation.properties.base import Array, Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal
from tamis.evaluation.properties.quasi_newton import Place, highest_between, minimum
from tamis.evaluation.properties.relaxation import StoppingCriteria, relax
from tamis.evaluation.properties.site_symmetry import Symmetry
from tamis.evaluation.properties.springs import force_constants, without_atom

SHELL = 1.1
"""Neighbours of a site are nearer than this many nearest distances."""
DISPLACEMENT = 0.02
"""Å, of an atom in the crystal, for the springs that relaxations start from."""
ROOM = 12.0
"""Å, of a free atom, wider than potentials reach."""
SMALL_RISE = 1e-3
"""eV; a path that rises by less above the symmetric middle has its highest point there."""

NEAR_HALF = 0.1
"""A highest point of the line as near to its half is looked for from there."""


@dataclass(frozen=True)
class Vacancy(Checked, Property):
    """One atom missing in a supercell of the relaxed lattice constant.

    n_atoms: the smallest cubic supercell with at least this many is used. inward: starts of the relaxation, with the
    neighbours moved towards the vacancy by this part of their distance; the lowest energy counts (a potential may have
    a shallow minimum, as Stillinger and Weber's does). relaxation: of the ions. migration: whether the barrier of a
    neighbour's jump into the vacancy is searched. path: limits of this search.

    Of other crystals than diamond, bcc and fcc of one element: of each site, without migration, see ``_of_sites``.
    Structures keep the symmetry of the site, and of the jump: forces cannot break it.
    """

    n_atoms: Annotated[int, Whole(1)]
    inward: Annotated[tuple[float, ...], Between(0, 0.5, say=0.2, below=True)]
    relaxation: StoppingCriteria
    migration: bool
    path: StoppingCriteria

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """vacancy_formation_unrelaxed_eV, vacancy_formation_eV, vacancy_migration_eV."""
        crystal = relaxed_crystal(sample)
        if isinstance(crystal, UnitCell):
            yield from self._of_sites(crystal, sample)
            return
        a = crystal.a
        repeat = int(np.ceil((self.n_atoms / ATOMS_PER_CUBE[crystal.structure]) ** (1 / 3) - 1e-9))
        full, primitive = crystal.conventional(a).repeat(repeat), crystal.primitive(a)
        rest = sample.energy(primitive) / len(primitive) * (len(full) - 1)
        vacancy = Hole.without(full, 0)
        unrelaxed, _ = vacancy.symmetry.energy_and_forces(sample, vacancy.atoms)
        yield Measured({VACANCY_UNRELAXED: unrelaxed - rest}, {"n_atoms": len(full)})
        springs = without_atom(force_constants(sample, full, repeat, DISPLACEMENT, sides=(1,)), 0)
        inward, start = self._lowest(sample, vacancy, springs)
        yield Measured({VACANCY_FORMATION: start.energy - rest}, {"lowest_from_inward": inward})
        if self.migration:
            try:
                yield self._path(sample, Jump.of(vacancy), start)
            except PropertyError as error:
                raise PropertyError(f"the jump into the vacancy: {error}") from error

    def _of_sites(self, crystal: UnitCell, sample: Sample) -> Iterator[Measured]:
        """Of each element the vacancy of lowest energy, and their mean over the crystal's atoms; no migration.

        A vacancy costs E(n - 1) - E(n) + mu, with the atom's chemical potential mu that says where it has gone. Here mu
        is the energy of a free atom and the crystal's cohesive energy per atom. These mu of a formula unit add up to
        its energy, as all must in equilibrium, so the mean is the same for every other such choice: it is the energy of
        a Schottky defect by its number of vacancies.
        """
        full, primitive = crystal.supercell(self.n_atoms, at_least=True), crystal.primitive()
        per_atom = sample.energy(primitive) / len(primitive)
        free = {element: sample.energy(free_atom(element)) for element in crystal.elements}
        cohesive = per_atom - float(np.mean([free[symbol] for symbol in crystal.symbols]))
        potentials = {element: free[element] + cohesive for element in crystal.elements}
        sites = {tag: list(full.get_tags()).index(tag) for tag in sorted(set(crystal.equivalent))}
        elements = {tag: full.symbols[site] for tag, site in sites.items()}
        holes = {tag: Hole.without(full, site) for tag, site in sites.items()}
        perfect = per_atom * len(full)
        data = {"n_atoms": len(full), "chemical_potentials_eV": potentials}
        names = ((VACANCY_UNRELAXED, VACANCY_UNRELAXED_OF), (VACANCY_FORMATION, VACANCY_FORMATION_OF))
        for (mean, of_element), energy in zip(names, (self._unrelaxed, self._relaxed), strict=True):
            costs = {
                tag: energy(hole, sample) - perfect + potentials[elements[tag]] for tag, hole in holes.items()
            }
            lowest = {
                element: min(cost for tag, cost in costs.items() if elements[tag] == element)
                for element in crystal.elements
            }
            values = {mean: float(np.mean([lowest[symbol] for symbol in crystal.symbols]))}
            if len(lowest) > 1:
                values |= {of_element.format(element): cost for element, cost in lowest.items()}
            yield Measured(values, data)

    def _unrelaxed(self, hole: Hole, sample: Sample) -> float:
        return sample.energy(hole.atoms)

    def _relaxed(self, hole: Hole, sample: Sample) -> float:
        """The lowest energy, eV, that a start leads to."""
        energies, failed = [], []
        for inward in self.inward:
            try:
                energies.append(sample.energy(relax(hole.moved_in(inward), sample, self.relaxation)))
            except PropertyError as error:
                failed.append(f"from {inward} inward: {error}")
        if not energies:
            raise PropertyError("; ".join(failed))
        return min(energies)

    def _lowest(self, sample: Sample, vacancy: Hole, springs: Array) -> tuple[float, Place]:
        """The start that leads to the lowest energy, and where it leads."""
        found, failed = dict[float, Place](), []
        for inward in self.inward:
            try:
                start = Place.of(vacancy.moved_in(inward), sample, vacancy.symmetry, springs)
                place = minimum(start, sample, self.relaxation, vacancy.symmetry, list(found.values()))
            except PropertyError as error:
                failed.append(f"from {inward} inward: {error}")
            else:
                found[inward], springs = place, place.springs
        if not found:
            raise PropertyError("; ".join(failed))
        inward = min(found, key=lambda one: found[one].energy)
        return inward, found[inward]

    def _path(self, sample: Sample, jump: Jump, start: Place) -> Measured:
        """The highest point of the path of lowest energy, half of which is the other half's mirror image.

        The middle is a minimum among symmetric structures, so no path is lower. Where the straight line from the start
        to it is not higher, it is the saddle point; else this is searched from the line's highest point.
        """
        guess = Place.of(jump.middle_of(start.atoms), sample, jump.middle, start.springs)
        middle = minimum(guess, sample, self.path, jump.middle)
        line = middle.atoms.positions - start.atoms.positions

        def on_line(part: float) -> Place:
            atoms = start.atoms.copy()
            atoms.positions += part * line
            return Place.of(atoms, sample, jump.path, middle.springs)

        half = on_line(0.5)
        three = (start, half, middle)
        slopes = [-float((place.forces * line).sum()) for place in three]
        part, rise, curvature = highest([place.energy for place in three], slopes)
        points = [start, middle, start]
        if rise > SMALL_RISE:
            near = half if abs(part - 0.5) < NEAR_HALF else on_line(part)
            uphill = line.ravel() / np.linalg.norm(line)
            missing = curvature / float((line**2).sum()) - float(uphill @ near.springs @ uphill)
            near = replace(near, springs=near.springs + missing * np.outer(uphill, uphill))
            top = highest_between(start, middle, near, sample, self.path, jump.path)
            if top.energy > middle.energy:
                points = [start, top, middle, top, start]
        energies = [place.energy - start.energy for place in points]
        return Measured({VACANCY_MIGRATION: max(energies)}, {"path_eV": energies})


@dataclass(frozen=True, eq=False)
class Hole:
    """The crystal's ideal supercell without one atom, whose site is (3,), Å."""

    atoms: Atoms
    site: Array

    @cached_property
    def symmetry(self) -> Symmetry:
        """About the site, of a crystal of one element."""
        return Symmetry.about(self.atoms, self.site)

    @classmethod
    def without(cls, full: Atoms, atom: int) -> Hole:
        """``full`` without an atom."""
        rest = full.copy()
        del rest[atom]
        return cls(rest, full.positions[atom])

    def moved_in(self, part: float) -> Atoms:
        """The atoms, the neighbours of the site moved towards it by ``part`` of their distance."""
        vectors, distances = find_mic(self.site - self.atoms.positions, self.atoms.cell)
        near = distances < SHELL * distances.min()
        moved = self.atoms.copy()
        moved.positions[near] += part * vectors[near]
        return moved


@dataclass(frozen=True, eq=False)
class Jump:
    """The jump of a neighbour into the vacancy.

    ideal: the crystal's other atoms in their places, the jumper in the middle of its way. path, middle: symmetries of
    the structures on the way, and of those in its middle.
    """

    ideal: Atoms
    path: Symmetry
    middle: Symmetry

    @classmethod
    def of(cls, vacancy: Hole) -> Jump:
        """Of one of the nearest neighbours of the vacancy."""
        ways, distances = find_mic(vacancy.site - vacancy.atoms.positions, vacancy.atoms.cell)
        jumper = int(np.argmin(distances))
        ideal = vacancy.atoms.copy()
        ideal.positions[jumper] += 0.5 * ways[jumper]
        return cls(ideal, vacancy.symmetry.of_atom(jumper), Symmetry.about(ideal, ideal.positions[jumper]))

    def middle_of(self, start: Atoms) -> Atoms:
        """Half way between ``start`` and its mirror image, the end."""
        middle = self.ideal.copy()
        middle.positions += self.middle.mean(start.positions - self.ideal.positions)
        return middle


def free_atom(element: str) -> Atoms:
    """One atom in a wide periodic box."""
    return Atoms([element], cell=[ROOM] * 3, pbc=True)


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
