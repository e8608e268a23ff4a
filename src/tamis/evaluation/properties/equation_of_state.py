"""Energy against volume: bulk modulus, equilibrium volume, and spurious minima."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Between, Checked, Whole
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.unit_cell import AnyCrystal, UnitCell
from tamis.evaluation.properties.base import Array, Line, Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_cell, relaxed_crystal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE = 1e-7
"""eV/atom: smaller irregularities of the curve are rounding."""


@dataclass(frozen=True)
class EquationOfState(Checked, Property):
    """A scan of volumes, and a Birch-Murnaghan fit near the minimum.

    At volumes of the fit, shape and atoms relax as far as the symmetry leaves them free; the scan scales the crystal.

    range_percent: of the scan, on either side of the equilibrium volume. fit_percent: of the fit. n_points: of each.
    """

    range_percent: Annotated[float, Between(0, 100, say=15, above=True, below=True)]
    fit_percent: Annotated[float, Above(0, say=4)]
    n_points: Annotated[int, Whole(5)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit_percent > self.range_percent:
            raise TamisError(
                f"fit_percent is {self.fit_percent}; it must be at most range_percent, which is {self.range_percent}"
            )

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """eos_volume_A3_per_atom, eos_bulk_modulus_GPa and its derivative; eos_extra_minima, eos_concave_points."""
        crystal = relaxed_crystal(sample)
        v0 = crystal.volume_per_atom(crystal.a)
        near = v0 * (1.0 + np.linspace(-self.fit_percent, self.fit_percent, self.n_points) / 100.0)
        volume, modulus, derivative = birch_murnaghan(
            near, energies_at(near, crystal, sample, in_shape=False)
        )
        yield Measured(
            {
                names.EOS_VOLUME: volume,
                names.EOS_BULK_MODULUS: modulus * GPA_PER_EV_PER_A3,
                names.EOS_DERIVATIVE: derivative,
            }
        )
        wide = v0 * (1.0 + np.linspace(-self.range_percent, self.range_percent, self.n_points) / 100.0)
        energies = energies_at(wide, crystal, sample, in_shape=True)
        minima, concave = holes(energies)
        yield Measured(
            {names.EOS_MINIMA: float(max(minima - 1, 0)), names.EOS_CONCAVE: float(concave)},
            {"volume_A3_per_atom": wide.tolist(), names.ENERGY_PER_ATOM: energies.tolist()},
        )

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """Energy above the minimum against volume."""
        if "volume_A3_per_atom" in data:
            from tamis.core.figures import BLUE
            from tamis.core.figures import label as name_axes

            energies = np.array(data[names.ENERGY_PER_ATOM])
            ax.plot(data["volume_A3_per_atom"], energies - energies.min(), **line, color=BLUE, label=label)
            name_axes(ax, "volume (Å³/atom)", "energy above the minimum (eV/atom)")


def energies_at(volumes: Array, crystal: AnyCrystal, sample: Sample, in_shape: bool) -> Array:
    """(n,) eV/atom at ``volumes`` (n,) Å³/atom, in the crystal's own shape, or in the best at each volume.

    Raises
    ------
    PropertyError : a shape cannot be relaxed, or an energy is not finite.
    """
    unit = crystal.volume_per_atom(1.0)
    energies = []
    for volume in volumes:
        cell = crystal.scaled(float(np.cbrt(volume / unit)) / crystal.a)
        if isinstance(cell, UnitCell) and not in_shape:
            cell = relaxed_cell(cell, sample, fixed_volume=True)
        energies.append(sample.energy(cell.primitive()) / len(cell.primitive()))
    return np.array(energies)


def birch_murnaghan(volumes: Array, energies: Array) -> tuple[float, float, float]:
    """Equilibrium volume (unit of ``volumes``), bulk modulus (energy/volume) and its pressure derivative.

    F. Birch, Phys. Rev. 71, 809 (1947), eq. of third order: the energy is a cubic polynomial in V^(-2/3), so the fit is
    linear. With x = V^(-2/3): B = V d²E/dV² = (4/9) x² E''(x) / V at E'(x) = 0, and B' follows from E'''.

    Raises
    ------
    PropertyError : the fit has no minimum.
    """
    scale = float(volumes.mean())  # keeps the polynomial well conditioned
    cubic = np.polynomial.Polynomial.fit((volumes / scale) ** (-2.0 / 3.0), energies, 3).convert()
    slopes, curvature, third = cubic.deriv(), cubic.deriv(2), cubic.deriv(3)
    turns = [complex(x) for x in slopes.roots()]
    roots = [x.real for x in turns if abs(x.imag) < 1e-12 and x.real > 0 and curvature(x.real) > 0]
    if not roots:
        raise PropertyError(
            "energies near the lattice constant have no minimum that an equation of state fits"
        )
    x = min(roots, key=lambda root: abs(root - 1.0))
    volume = x**-1.5
    modulus = 4.0 / 9.0 * x**2 * curvature(x) / volume
    # dB/dp = -(V/B) dB/dV with B(x) = V E_VV; V d/dV = -(2/3) x d/dx
    derivative = 4.0 + 2.0 / 3.0 * x * third(x) / curvature(x)
    return float(volume * scale), float(modulus / scale), float(derivative)


def holes(energies: Array) -> tuple[int, int]:
    """Number of minima inside the curve, and of inner points at which it is concave."""
    second = energies[:-2] - 2.0 * energies[1:-1] + energies[2:]
    is_minimum = (energies[1:-1] < energies[:-2] - NOISE) & (energies[1:-1] < energies[2:] - NOISE)
    return int(is_minimum.sum()), int((second < -NOISE).sum())
