"""Vacancy: formation and migration energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.mep import NEB
from ase.optimize import FIRE

from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked, Whole
from tamis.core.metrics import VACANCY_FORMATION, VACANCY_MIGRATION, VACANCY_UNRELAXED
from tamis.data.crystal import ATOMS_PER_CUBE
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.relaxation import (
    LONGEST_STEP,
    StoppingCriteria,
    relax,
    relaxed_lattice_constant,
)

SHELL = 1.1
"""Neighbours of a site are nearer than this many nearest distances."""


@dataclass(frozen=True)
class Vacancy(Checked, Property):
    """One atom missing in a supercell of the relaxed lattice constant.

    n_atoms: the smallest cubic supercell with at least this many is used. inward: starts of the relaxation, with the
    neighbours moved towards the vacancy by this part of their distance; the lowest energy counts (a potential may have
    a shallow minimum, as Stillinger and Weber's does). relaxation: of the ions. n_images: between the ends of the path
    of a neighbour into the vacancy (odd, so that one is in the middle); 0: no migration energy. path: limits of the
    images' relaxation.
    """

    n_atoms: Annotated[int, Whole(1)]
    inward: Annotated[tuple[float, ...], Between(0, 0.5, say=0.2, below=True)]
    relaxation: StoppingCriteria
    n_images: Annotated[int, Whole(0)]
    path: StoppingCriteria

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_images > 0 and self.n_images % 2 == 0:
            raise TamisError(f"n_images is {self.n_images}; 0 or an odd number is needed")

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """vacancy_formation_unrelaxed_eV, vacancy_formation_eV, vacancy_migration_eV."""
        repeat = int(np.ceil((self.n_atoms / ATOMS_PER_CUBE[sample.crystal.structure]) ** (1 / 3) - 1e-9))
        full = sample.crystal.cubic(relaxed_lattice_constant(sample)).repeat(repeat)
        rest = sample.energy(full) * (len(full) - 1) / len(full)
        vacant = full.copy()
        del vacant[0]
        yield Measured(
            {VACANCY_UNRELAXED: sample.energy(vacant) - rest},
            {"n_atoms": len(full)},
        )
        site = full.positions[0]
        inward, start = self._lowest(sample, vacant, site)
        yield Measured({VACANCY_FORMATION: sample.energy(start) - rest}, {"lowest_from_inward": inward})
        if self.n_images:
            jumper = int(np.argmin(find_mic(site - vacant.positions, full.cell)[1]))
            after = vacant.copy()
            after.positions[jumper] += find_mic(site - vacant.positions[jumper], full.cell)[0]
            end = relax(moved_in(after, vacant.positions[jumper], inward), sample, self.relaxation)
            yield self._path(sample, start, end)

    def _lowest(self, sample: Sample, vacant: Atoms, site: np.ndarray) -> tuple[float, Atoms]:
        """The start that leads to the lowest energy, and the relaxed structure."""
        found, failed = [], []
        for inward in self.inward:
            try:
                relaxed = relax(moved_in(vacant, site, inward), sample, self.relaxation)
                found.append((sample.energy(relaxed), inward, relaxed))
            except PropertyError as error:
                failed.append(f"from {inward} inward: {error}")
        if not found:
            raise PropertyError("; ".join(failed))
        _, inward, relaxed = min(found, key=lambda one: one[:2])
        return inward, relaxed

    def _path(self, sample: Sample, start: Atoms, end: Atoms) -> Measured:
        """Climbing-image nudged elastic band.

        G. Henkelman, B. P. Uberuaga and H. Jónsson, J. Chem. Phys. 113, 9901 (2000); tangents of G. Henkelman and
        H. Jónsson, J. Chem. Phys. 113, 9978 (2000).
        """
        images = [start.copy() for _ in range(self.n_images + 1)] + [end.copy()]
        for image in images:
            image.calc = sample.calculator
        band = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
        band.interpolate(mic=True)
        first = [image.positions.copy() for image in images]
        optimizer = FIRE(band, logfile=None, maxstep=LONGEST_STEP)
        for _ in optimizer.irun(fmax=self.path.fmax, steps=self.path.max_steps):
            moved = max(
                float(np.abs(image.positions - x).max()) for image, x in zip(images, first, strict=True)
            )
            if not moved <= self.path.max_displacement:  # also where it is NaN
                raise PropertyError(f"an atom moved {moved:.2f} Å off the path of the migrating atom")
        if np.sqrt((band.get_forces().reshape(-1, 3) ** 2).sum(axis=1)).max() > self.path.fmax:
            raise PropertyError(f"the path of migration is not relaxed after {self.path.max_steps} steps")
        energies = np.array([sample.energy(image) for image in images])
        return Measured(
            {VACANCY_MIGRATION: float(energies.max() - energies[0])},
            {"path_eV": (energies - energies[0]).tolist()},
        )


def moved_in(vacant: Atoms, site: np.ndarray, part: float) -> Atoms:
    """``vacant`` with the neighbours of ``site`` moved towards it by ``part`` of their distance."""
    vectors, distances = find_mic(site - vacant.positions, vacant.cell)
    near = distances < SHELL * distances.min()
    moved = vacant.copy()
    moved.positions[near] += part * vectors[near]
    return moved
