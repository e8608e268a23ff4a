"""Energies of low-index surfaces, unreconstructed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from tamis.core.fields import Above, Checked, Rule
from tamis.core.metrics import SURFACE, SURFACE_UNRELAXED
from tamis.core.units import J_PER_M2_PER_EV_PER_A2
from tamis.data.crystal import Crystal
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal
from tamis.evaluation.properties.relaxation import StoppingCriteria, relax
from tamis.evaluation.properties.slab import slab


class Miller(Rule):
    """Miller indices, such as "100"."""

    words = 'three digits in quotes are needed, such as "100"'

    def allows(self, value: str) -> bool:
        """Not "000"."""
        return len(value) == 3 and value.isdigit() and value != "000"


@dataclass(frozen=True)
class Surfaces(Checked, Property):
    """Slabs with the smallest surface cell, in which atoms relax but cannot reconstruct.

    miller: indices, such as "100". thickness: of the slabs, Å. vacuum: between their images, Å. relaxation: of ions.
    """

    miller: Annotated[tuple[str, ...], Miller()]
    thickness: Annotated[float, Above(0, "Å")]
    vacuum: Annotated[float, Above(0, "Å")]
    relaxation: StoppingCriteria

    def refuses(self, crystal: AnyCrystal) -> str:
        """Other crystals have surfaces that no cut alone defines."""
        if isinstance(crystal, Crystal):
            return ""
        return "surfaces are cut of diamond, bcc and fcc crystals of one element only"

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """surface_<indices>_unrelaxed_J_per_m2 and surface_<indices>_J_per_m2."""
        crystal = relaxed_crystal(sample)
        if not isinstance(crystal, Crystal):
            raise PropertyError(self.refuses(crystal))
        a, primitive = crystal.a, crystal.primitive()
        bulk = sample.energy(primitive) / len(primitive)
        failed = []
        for name in self.miller:
            h, k, l = (int(digit) for digit in name)  # noqa: E741 (Miller indices are called so)
            cut = slab(crystal, a, (h, k, l), self.thickness, self.vacuum)
            twice_area = 2.0 * float(np.linalg.norm(np.cross(cut.cell[0], cut.cell[1])))
            scale = J_PER_M2_PER_EV_PER_A2 / twice_area
            yield Measured({SURFACE_UNRELAXED.format(name): (sample.energy(cut) - bulk * len(cut)) * scale})
            try:
                relaxed = relax(cut, sample, self.relaxation)
            except PropertyError as error:  # the other surfaces may succeed
                failed.append(f"{name}: {error}")
                continue
            yield Measured({SURFACE.format(name): (sample.energy(relaxed) - bulk * len(cut)) * scale})
        if failed:
            raise PropertyError("; ".join(failed))
