"""What every property promises: values from a calculator and a crystal, data to keep, and a picture of them."""

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
from tamis.data.crystal import Crystal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


class PropertyError(TamisError):
    """A property that this potential does not have, or that was not found within the allowed steps."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What a property is measured on. crystal: with its starting lattice constant; calculator: of the potential.

    known: what was found of the sample once and is needed by more than one property, by name with unit.
    """

    crystal: Crystal
    calculator: Calculator
    known: dict[str, float] = field(default_factory=dict)

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

    def stress(self, atoms: Atoms) -> Array:
        """Stress (6,), eV/Å³, ASE sign, Voigt xx yy zz yz xz xy."""
        stress = np.asarray(self.calculator.get_property("stress", atoms), dtype=float)
        if not np.isfinite(stress).all():
            raise PropertyError("the potential gives a stress that is not finite")
        return stress


@dataclass(frozen=True)
class Measured:
    """values: name with unit -> value; data: curves and the like, ready for JSON, units in the keys."""

    values: dict[str, float] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def plus(self, other: Measured) -> Measured:
        """Both; what ``other`` says later counts."""
        return Measured(self.values | other.values, self.data | other.data)


class Property(ABC):
    """One kind of measurement. Subclasses are frozen dataclasses built from one node of the evaluation's YAML."""

    @abstractmethod
    def measure(self, sample: Sample) -> Iterator[Measured]:
        """Yield what is found, the cheap first: what came before a failure is kept.

        Raises
        ------
        PropertyError : with the reason.
        """

    def draw(self, figure: Figure, data: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Draw ``data``, and ``reference`` (the label-giver's data, or nothing) behind it; False: nothing to draw."""
        return False


def check_positive(**numbers: float) -> None:
    """Refuse what is not above 0."""
    for name, number in numbers.items():
        if not number > 0:
            raise TamisError(f"{name} is {number}; a number above 0 is needed")
