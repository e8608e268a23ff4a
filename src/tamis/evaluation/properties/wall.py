"""Short distances: does the potential repel atoms that come much closer than any in the training set?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.evaluation.properties.base import Array, Measured, Property, Sample
from tamis.evaluation.properties.relaxation import relaxed_lattice_constant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 12.0
"""Å of vacuum around a dimer, wider than potentials reach."""


@dataclass(frozen=True)
class Wall(Property):
    """Energies of a dimer and of the uniformly compressed crystal, from ``start`` times the nearest distance inwards.

    start: where the scan begins; compression and dimers cost energy from there on whatever the element. end: where it
    ends. n_points: of the scan.
    """

    start: float
    end: float
    n_points: int

    def __post_init__(self) -> None:
        if not 0.1 <= self.end < self.start <= 1.0:
            raise TamisError(
                f"start is {self.start} and end {self.end}; end < start, from 0.1 to 1, is needed"
            )
        if self.n_points < 3:
            raise TamisError(f"n_points is {self.n_points}; at least 3 are needed")

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """wall_dimer_percent, wall_crystal_percent: the distance down to which the energy rises all the way.

        In percent of the crystal's nearest distance: 100 times ``end`` is best, 100 times ``start`` is no wall at all.
        """
        a = relaxed_lattice_constant(sample)
        distance, scales = (
            sample.crystal.nearest_distance(a),
            np.linspace(self.start, self.end, self.n_points),
        )
        for name, per_atom in (
            (
                "crystal",
                [sample.energy(c) / len(c) for c in (sample.crystal.primitive(a * s) for s in scales)],
            ),
            ("dimer", [sample.energy(dimer(sample.crystal.element, distance * s)) / 2 for s in scales]),
        ):
            reach = float(100.0 * scales[last_of_rise(np.array(per_atom))])
            yield Measured(
                {f"wall_{name}_percent": reach},
                {"distance_A": (scales * distance).tolist(), f"{name}_energy_eV_per_atom": per_atom},
            )

    def draw(self, figure: Figure, data: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Energies above the scans' starts against the nearest distance."""
        if "distance_A" not in data:
            return False
        ax = figure.subplots()
        for colour, name in enumerate(("crystal", "dimer")):
            for curve, style in ((reference, "--"), (data, "-")):
                energies = curve.get(f"{name}_energy_eV_per_atom")
                if energies:
                    label = f"{name}{' (reference)' if curve is reference else ''}"
                    rise = np.array(energies) - energies[0]
                    ax.plot(curve["distance_A"], rise, style, color=f"C{colour}", label=label)
        ax.set_yscale("symlog", linthresh=1.0)
        ax.set(xlabel="nearest distance (Å)", ylabel="energy above the start (eV/atom)")
        ax.legend(frameon=False)
        return True


def dimer(element: str, distance: float) -> Atoms:
    """Two atoms in a wide periodic box."""
    box = distance + ROOM
    return Atoms([element] * 2, positions=[[0, 0, 0], [distance, 0, 0]], cell=[box] * 3, pbc=True)


def last_of_rise(energies: Array) -> int:
    """Index of the last point up to which every energy is higher than the one before."""
    falls = np.flatnonzero(np.diff(energies) <= 0.0)
    return int(falls[0]) if falls.size else len(energies) - 1
