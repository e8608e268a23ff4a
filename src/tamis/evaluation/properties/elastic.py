"""Elastic constants with relaxed ions, from stresses of strained cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms

from tamis.core import metrics as names
from tamis.core.fields import Between, Checked, Whole
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.evaluation.properties.base import Array, Line, Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.relaxation import StoppingCriteria, relax, relaxed_lattice_constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = (-1.0, -0.5, 0.5, 1.0)
"""Strains of one mode, in units of the largest."""
XX, YZ = 0, 3
"""The two modes that give all constants of a cubic crystal."""


@dataclass(frozen=True)
class Elastic(Checked, Property):
    """C11, C12, C44 of a cubic crystal, and their isotropic averages.

    strain: largest (engineering strain for shears). repeat: of the primitive cell along each vector; the constants do
    not depend on it. relaxation: of the ions in each strained cell.
    """

    strain: Annotated[float, Between(0, 0.05, say=0.005, above=True)]
    repeat: Annotated[int, Whole(1)]
    relaxation: StoppingCriteria

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """elastic_<constant>_GPa, elastic_poisson_ratio, elastic_unstable_modes."""
        primitive = sample.crystal.primitive(relaxed_lattice_constant(sample))
        cell = primitive.repeat(self.repeat)
        stresses = {mode: stresses_of(sample, cell, mode, self.strain, self.relaxation) for mode in (XX, YZ)}
        along, shear = slope(stresses[XX], self.strain), slope(stresses[YZ], self.strain)
        c11, c12, c44 = along[XX], 0.5 * (along[1] + along[2]), shear[YZ]
        unstable = sum(modulus <= 0.0 for modulus in (c11 - c12, c11 + 2.0 * c12, c44))
        curves = {
            "strain": [step * self.strain for step in STEPS],
            "stress_xx_of_strain_xx_GPa": stresses[XX][:, XX].tolist(),
            "stress_yy_of_strain_xx_GPa": stresses[XX][:, 1].tolist(),
            "stress_yz_of_strain_yz_GPa": stresses[YZ][:, YZ].tolist(),
        }
        values = {names.C11: c11, names.C12: c12, names.C44: c44, names.UNSTABLE_MODES: unstable}
        yield Measured({name: float(value) for name, value in values.items()}, curves)
        if unstable:
            raise PropertyError(
                f"the crystal is not stable (C11 {c11:.4g}, C12 {c12:.4g}, C44 {c44:.4g} GPa): no isotropic averages"
            )
        yield Measured(isotropic(c11, c12, c44))

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """Stress against strain."""
        from tamis.core.figures import PALETTE
        from tamis.core.figures import label as name_axes

        for i, name in enumerate(name for name in data if name.startswith("stress_")):
            curve = name.removeprefix("stress_").removesuffix("_GPa").replace("_", " ")
            ax.plot(data["strain"], data[name], **line, color=PALETTE[i], label=f"{curve} ({label})")
        name_axes(ax, "strain", "stress (GPa)")


def stiffness(
    sample: Sample, cell: Atoms, strain: float, relaxation: StoppingCriteria, modes: Sequence[int] = range(6)
) -> Array:
    """Columns ``modes`` of the stiffness of an unstressed ``cell``, (6, n_modes), GPa, Voigt xx yy zz yz xz xy."""
    columns = [slope(stresses_of(sample, cell, mode, strain, relaxation), strain) for mode in modes]
    return np.array(columns).T


def stresses_of(sample: Sample, cell: Atoms, mode: int, strain: float, relaxation: StoppingCriteria) -> Array:
    """Stresses (len(STEPS), 6), GPa, under the strains of one Voigt mode, ions relaxed."""
    rows = []
    for step in STEPS:
        strained = relax(deformed(cell, mode, step * strain), sample, relaxation)
        rows.append(sample.stress(strained) * GPA_PER_EV_PER_A3)
    return np.array(rows)


def slope(stresses: Array, strain: float) -> Array:
    """Derivative (6,) at zero strain, of fourth-order accuracy, from stresses (len(STEPS), 6)."""
    outer, inner = stresses[3] - stresses[0], stresses[2] - stresses[1]
    return np.asarray((8.0 * inner - outer) / (6.0 * strain))


def deformed(cell: Atoms, mode: int, strain: float) -> Atoms:
    """``cell`` under one Voigt strain, without a rotation; atoms follow."""
    tensor = np.eye(3)
    if mode < 3:
        tensor[mode, mode] += strain
    else:
        i, j = ((1, 2), (0, 2), (0, 1))[mode - 3]
        tensor[i, j] = tensor[j, i] = 0.5 * strain
    strained = cell.copy()
    strained.set_cell(cell.cell.array @ tensor, scale_atoms=True)
    return strained


def isotropic(c11: float, c12: float, c44: float) -> dict[str, float]:
    """Moduli (in the unit of the constants, GPa) and Poisson's ratio of a polycrystal of cubic grains.

    R. Hill, Proc. Phys. Soc. A 65, 349 (1952): the shear modulus is the mean of Voigt's and Reuss' bounds;
    E = 9BG/(3B + G), nu = (3B - 2G)/(2(3B + G)).
    """
    bulk = (c11 + 2.0 * c12) / 3.0
    voigt = (c11 - c12 + 3.0 * c44) / 5.0
    reuss = 5.0 * (c11 - c12) * c44 / (4.0 * c44 + 3.0 * (c11 - c12))
    shear = 0.5 * (voigt + reuss)
    return {
        names.BULK_MODULUS: float(bulk),
        names.SHEAR_MODULUS: float(shear),
        names.YOUNGS_MODULUS: float(9.0 * bulk * shear / (3.0 * bulk + shear)),
        names.POISSON_RATIO: float((3.0 * bulk - 2.0 * shear) / (2.0 * (3.0 * bulk + shear))),
    }
