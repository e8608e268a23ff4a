"""Lattice constant, energy of the crystal, and the energy from strong compression to separate atoms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Whole
from tamis.core.metrics import ENERGY_PER_ATOM, LATTICE_CONSTANT
from tamis.evaluation.properties.base import Line, Measured, Property, Sample
from tamis.evaluation.properties.relaxation import relaxed_lattice_constant

BELOW, ABOVE = 1.0, 10.0
"""eV/atom of the picture on either side of the relaxed crystal."""

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Lattice(Checked, Property):
    """The relaxed crystal, and its cohesive curve.

    low, high: range of the curve in units of the relaxed lattice constant. n_points: of the curve; 0: no curve.
    """

    low: Annotated[float, Above(0)]
    high: Annotated[float, Above(0)]
    n_points: Annotated[int, Whole(0)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise TamisError(f"low is {self.low} and high {self.high}; low must be less than high")

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """lattice_constant_A, energy_eV_per_atom."""
        a = relaxed_lattice_constant(sample)
        primitive = sample.crystal.primitive(a)
        yield Measured(
            {
                LATTICE_CONSTANT: a,
                ENERGY_PER_ATOM: sample.energy(primitive) / len(primitive),
            }
        )
        scales = np.linspace(self.low, self.high, self.n_points)
        cells = [sample.crystal.primitive(a * scale) for scale in scales]
        yield Measured(
            data={
                "nearest_distance_A": [sample.crystal.nearest_distance(a * scale) for scale in scales],
                ENERGY_PER_ATOM: [sample.energy(cell) / len(cell) for cell in cells],
            }
        )

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """The cohesive curve."""
        if data.get("nearest_distance_A"):
            from tamis.core.figures import BLUE
            from tamis.core.figures import label as name_axes

            energies, scales = data[ENERGY_PER_ATOM], np.linspace(self.low, self.high, self.n_points)
            ax.plot(data["nearest_distance_A"], energies, **line, color=BLUE, label=label)
            name_axes(ax, "nearest distance (Å)", "energy (eV/atom)")
            well = energies[int(np.abs(scales - 1.0).argmin())]  # holes at short distances may be bottomless
            ax.set_ylim(well - BELOW, well + ABOVE)
