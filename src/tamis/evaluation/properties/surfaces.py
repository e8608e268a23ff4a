"""Energies of low-index surfaces, unreconstructed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.units import J_PER_M2_PER_EV_PER_A2
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample, check_positive
from tamis.evaluation.properties.relaxation import Limits, relax, relaxed_lattice_constant
from tamis.evaluation.properties.slab import slab


@dataclass(frozen=True)
class Surfaces(Property):
    """Slabs with the smallest surface cell, in which atoms relax but cannot reconstruct.

    miller: indices, such as "100". thickness: of the slabs, Å. vacuum: between their images, Å. relaxation: of ions.
    """

    miller: tuple[str, ...]
    thickness: float
    vacuum: float
    relaxation: Limits

    def __post_init__(self) -> None:
        object.__setattr__(self, "miller", tuple(self.miller))
        check_positive(thickness=self.thickness, vacuum=self.vacuum)
        for indices in self.miller:
            if len(indices) != 3 or not indices.isdigit() or indices == "000":
                raise TamisError(f'miller has {indices!r}; three digits in quotes are needed, such as "100"')

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """surface_<indices>_unrelaxed_J_per_m2 and surface_<indices>_J_per_m2."""
        a = relaxed_lattice_constant(sample)
        primitive = sample.crystal.primitive(a)
        bulk = sample.energy(primitive) / len(primitive)
        failed = []
        for name in self.miller:
            h, k, l = (int(digit) for digit in name)  # noqa: E741 (Miller indices are called so)
            cut = slab(sample.crystal, a, (h, k, l), self.thickness, self.vacuum)
            twice_area = 2.0 * float(np.linalg.norm(np.cross(cut.cell[0], cut.cell[1])))
            scale = J_PER_M2_PER_EV_PER_A2 / twice_area
            yield Measured(
                {f"surface_{name}_unrelaxed_J_per_m2": (sample.energy(cut) - bulk * len(cut)) * scale}
            )
            try:
                relaxed = relax(cut, sample, self.relaxation)
            except PropertyError as error:  # the other surfaces may do better
                failed.append(f"{name}: {error}")
                continue
            yield Measured({f"surface_{name}_J_per_m2": (sample.energy(relaxed) - bulk * len(cut)) * scale})
        if failed:
            raise PropertyError("; ".join(failed))
