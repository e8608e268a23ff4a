"""Lattice constant, energy of the crystal, and the energy from strong compression to separate atoms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Whole
from tamis.core.metrics import ENERGY_PER_ATOM, LATTICE_ANGLE, LATTICE_CONSTANT, LATTICE_LENGTH
from tamis.data.crystal import Crystal
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.properties.base import Line, Measured, Property, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal

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
        """lattice_constant_A or lattice_<a>_A and lattice_<alpha>_deg, energy_eV_per_atom."""
        crystal = relaxed_crystal(sample)
        a, primitive = crystal.a, crystal.primitive()
        yield Measured(lattice_of(crystal) | {ENERGY_PER_ATOM: sample.energy(primitive) / len(primitive)})
        scales = np.linspace(self.low, self.high, self.n_points)
        cells = [crystal.primitive(a * scale) for scale in scales]
        yield Measured(
            data={
                "nearest_distance_A": [crystal.nearest_distance(a * scale) for scale in scales],
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


FREE = {
    "hexagonal": "a c",
    "trigonal": "a c",
    "tetragonal": "a c",
    "orthorhombic": "a b c",
    "monoclinic": "a b c beta",
    "triclinic": "a b c alpha beta gamma",
}
"""Lattice constants that a crystal system leaves free."""


def lattice_of(crystal: AnyCrystal) -> dict[str, float]:
    """Lattice constants of the conventional cell, Å and degrees, as many as its symmetry leaves free."""
    if isinstance(crystal, Crystal) or crystal.system == "cubic":
        return {LATTICE_CONSTANT: crystal.a}
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    values = dict(zip(names, map(float, crystal.conventional().cell.cellpar()), strict=True))
    return {
        (LATTICE_LENGTH if len(name) == 1 else LATTICE_ANGLE).format(name): values[name]
        for name in FREE[crystal.system].split()
    }
