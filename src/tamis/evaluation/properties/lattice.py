"""Lattice constant, energy of the crystal, and the energy from strong compression to separate atoms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.core.errors import TamisError
from tamis.evaluation.properties.base import Measured, Property, Sample, check_positive
from tamis.evaluation.properties.relaxation import relaxed_lattice_constant

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Lattice(Property):
    """The relaxed crystal, and its cohesive curve.

    low, high: range of the curve in units of the relaxed lattice constant. n_points: of the curve; 0: none.
    """

    low: float
    high: float
    n_points: int

    def __post_init__(self) -> None:
        check_positive(low=self.low)
        if self.low >= self.high:
            raise TamisError(f"low is {self.low} and high {self.high}; low must be less than high")

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """lattice_constant_A, energy_eV_per_atom."""
        a = relaxed_lattice_constant(sample)
        primitive = sample.crystal.primitive(a)
        yield Measured(
            {
                "lattice_constant_A": a,
                "energy_eV_per_atom": sample.energy(primitive) / len(primitive),
            }
        )
        scales = np.linspace(self.low, self.high, self.n_points)
        cells = [sample.crystal.primitive(a * scale) for scale in scales]
        yield Measured(
            data={
                "nearest_distance_A": [sample.crystal.nearest_distance(a * scale) for scale in scales],
                "energy_eV_per_atom": [sample.energy(cell) / len(cell) for cell in cells],
            }
        )

    def draw(self, figure: Figure, data: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """The cohesive curve."""
        if not data.get("nearest_distance_A"):
            return False
        ax = figure.subplots()
        for curve, style, label in ((reference, "k--", "reference"), (data, "-", "potential")):
            if curve:
                ax.plot(curve["nearest_distance_A"], curve["energy_eV_per_atom"], style, label=label)
        depth = min(data["energy_eV_per_atom"])
        ax.set(xlabel="nearest distance (Å)", ylabel="energy (eV/atom)", ylim=(depth - 1.0, depth + 10.0))
        ax.legend(frameon=False)
        return True
