"""Short distances: does the potential repel atoms that are much closer than any in the training set?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked, Whole
from tamis.core.metrics import WALL
from tamis.evaluation.properties.base import Array, Line, Measured, Property, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 12.0
"""Å of vacuum around a dimer, wider than potentials reach."""


@dataclass(frozen=True)
class Wall(Checked, Property):
    """Energies of a dimer and of the uniformly compressed crystal, from ``start`` times the nearest distance inwards.

    start, end: of the scan. n_points: of the scan.
    """

    start: Annotated[float, Between(0.1, 1)]
    end: Annotated[float, Between(0.1, 1)]
    n_points: Annotated[int, Whole(3)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end >= self.start:
            raise TamisError(f"start is {self.start} and end {self.end}; end must be less than start")

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """wall_dimer_percent, wall_crystal_percent: the distance down to which the energy rises monotonically.

        Of dimers, that of the pair of elements whose wall ends first counts.
        In percent of the crystal's nearest distance: 100 times ``end`` is best, 100 times ``start`` means no wall.
        """
        crystal = relaxed_crystal(sample)
        a = crystal.a
        scales = np.linspace(self.start, self.end, self.n_points)
        distances = scales * crystal.nearest_distance(a)
        compressed = [crystal.primitive(a * scale) for scale in scales]
        yield self._reach("crystal", [compressed], sample, distances)
        pairs = combinations_with_replacement(crystal.elements, 2)
        dimers = [[dimer(pair, distance) for distance in distances] for pair in pairs]
        yield self._reach("dimer", dimers, sample, distances)

    def _reach(
        self, name: str, scans: Sequence[Sequence[Atoms]], sample: Sample, distances: Array
    ) -> Measured:
        """Of the scan that stops rising first."""
        curves = [[sample.energy(cell) / len(cell) for cell in cells] for cells in scans]
        ends = [last_of_rise(np.array(energies)) for energies in curves]
        first = int(np.argmin(ends))
        reach = float(100.0 * np.linspace(self.start, self.end, self.n_points)[ends[first]])
        return Measured(
            {WALL.format(name): reach},
            {
                "distance_A": distances.tolist(),
                f"{name}_energy_eV_per_atom": curves[first],
                f"{name}_atoms": scans[first][0].get_chemical_formula(),
            },
        )

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """Energies above the scans' starts against the nearest distance."""
        from tamis.core.figures import PALETTE
        from tamis.core.figures import label as name_axes

        for i, name in enumerate(("crystal", "dimer")):
            if energies := data.get(f"{name}_energy_eV_per_atom"):
                rise = np.array(energies) - energies[0]
                ax.plot(data["distance_A"], rise, **line, color=PALETTE[i], label=f"{name} ({label})")
        ax.set_yscale("symlog", linthresh=1.0)
        name_axes(ax, "nearest distance (Å)", "energy above the start (eV/atom)")


def dimer(elements: Sequence[str], distance: float) -> Atoms:
    """Two atoms in a wide periodic box."""
    box = distance + ROOM
    return Atoms(elements, positions=[[0, 0, 0], [distance, 0, 0]], cell=[box] * 3, pbc=True)


def last_of_rise(energies: Array) -> int:
    """Index of the last point up to which every energy is higher than the one before."""
    falls = np.flatnonzero(np.diff(energies) <= 0.0)
    return int(falls[0]) if falls.size else len(energies) - 1
