"""The interface of all properties: values from a calculator and a crystal, data to keep, and a picture of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.data.unit_cell import AnyCrystal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Line = Mapping[str, Any]


class PropertyError(TamisError):
    """The potential does not have this property, or it was not found within the allowed steps."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A crystal to start from, and the calculator of a potential."""

    crystal: AnyCrystal
    calculator: Calculator

    def energy(self, atoms: Atoms) -> float:
        """Energy, eV.

        Raises
        ------
        PropertyError : it is not finite.
        """
        energy = float(self.calculator.get_property("energy", atoms))
        if not np.isfinite(energy):
            raise PropertyError(
                f"the potential gives the energy {energy} for {len(atoms)} atoms in {atoms.cell.volume:.4g} Å³"
            )
        return energy

    def forces(self, atoms: Atoms) -> Array:
        """Forces (n, 3), eV/Å.

        Raises
        ------
        PropertyError : one is not finite.
        """
        forces = np.array(self.calculator.get_property("forces", atoms), dtype=float)
        if not np.isfinite(forces).all():
            raise PropertyError("the potential gives forces that are not finite")
        return forces

    def stress(self, atoms: Atoms) -> Array:
        """Stress (6,), eV/Å³, ASE sign, Voigt xx yy zz yz xz xy."""
        stress = np.asarray(self.calculator.get_property("stress", atoms), dtype=float)
        if not np.isfinite(stress).all():
            raise PropertyError("the potential gives a stress that is not finite")
        return stress


@dataclass(frozen=True)
class Measured:
    """Part of a property.

    values: name with unit -> value. data: curves and the like, ready for JSON, units in the keys.
    """

    values: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def plus(self, other: Measured) -> Measured:
        """Both; ``other`` overrides."""
        return Measured(self.values | other.values, self.data | other.data)


class Property(ABC):
    """One kind of measurement. Subclasses are frozen dataclasses built from one node of the evaluation's YAML."""

    @abstractmethod
    def measure(self, sample: Sample) -> Iterator[Measured]:
        """Yield the values, cheap ones first: those that came before a failure are kept.

        Raises
        ------
        PropertyError : with the reason.
        """

    def refuses(self, crystal: AnyCrystal) -> str:
        """Why the property is not measured of a crystal; "": it is."""
        return ""

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:  # noqa: B027 # optional
        """Draw the curves in ``data``, of the reference or of the potential, which ``label`` says; none by default.

        line : how, in the words of matplotlib.
        """
