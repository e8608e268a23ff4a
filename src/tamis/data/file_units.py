"""Units of the numbers in a user's file, and what they are multiplied with to become tamis' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.units import (
    A_PER_BOHR,
    EV_PER_A3_PER_KBAR,
    EV_PER_HARTREE,
    EV_PER_RYDBERG,
    GPA_PER_EV_PER_A3,
    KCAL_PER_MOL_PER_EV,
    KJ_PER_KCAL,
    MEV_PER_EV,
)

LENGTHS = {"angstrom": 1.0, "bohr": A_PER_BOHR, "nm": 10.0}
"""Å in each."""
ENERGIES = {
    "ev": 1.0,
    "mev": 1.0 / MEV_PER_EV,
    "hartree": EV_PER_HARTREE,
    "rydberg": EV_PER_RYDBERG,
    "kcal/mol": 1.0 / KCAL_PER_MOL_PER_EV,
    "kj/mol": 1.0 / KCAL_PER_MOL_PER_EV / KJ_PER_KCAL,
}
"""eV in each."""
STRESSES = {
    "gpa": 1.0 / GPA_PER_EV_PER_A3,
    "mpa": 1e-3 / GPA_PER_EV_PER_A3,
    "pa": 1e-9 / GPA_PER_EV_PER_A3,
    "kbar": EV_PER_A3_PER_KBAR,
    "bar": 1e-3 * EV_PER_A3_PER_KBAR,
}
"""eV/Å³ in each."""
SPELLINGS = {"å": "angstrom", "ang": "angstrom", "a": "angstrom", "ha": "hartree", "ry": "rydberg"}


@dataclass(frozen=True)
class FileUnits:
    """Units of the numbers in files that do not carry their own.

    length : angstrom, bohr or nm. energy : ev, mev, hartree, rydberg, kcal/mol or kj/mol.
    forces : an energy over a length, such as hartree/bohr; None: of the two above.
    stress : gpa, mpa, pa, kbar, bar, or an energy over a volume, such as ev/angstrom3; None: of the two above. A minus
        in front (-kbar) for numbers that are positive under pressure; without it they are positive in tension, as in
        ASE.
    virial : an energy; None: as above. A minus in front for plus the stress times the volume.

    Raises
    ------
    TamisError : a unit that is not among these.
    """

    length: str = "angstrom"
    energy: str = "ev"
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not isinstance(value, str):
                raise TamisError(f"dataset.units.{field.name} is {value!r}; the name of a unit is needed")
        length, energy = _plain(self.length), _plain(self.energy)
        object.__setattr__(self, "length", length)
        object.__setattr__(self, "energy", energy)
        object.__setattr__(self, "forces", _plain(self.forces or f"{energy}/{length}"))
        object.__setattr__(self, "stress", _plain(self.stress or f"{energy}/{length}3"))
        object.__setattr__(self, "virial", _plain(self.virial or energy))
        for field in fields(self):
            _ = getattr(self, f"{field.name}_factor")  # refuses what it does not know

    @classmethod
    def of(cls, given: Mapping[str, Any] | FileUnits | None) -> FileUnits:
        """From what a configuration holds; None: Å and eV throughout."""
        if isinstance(given, FileUnits):
            return given
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given or {}) - set(known)):
            raise TamisError(f"dataset.units has {', '.join(unknown)}; its keys are {', '.join(known)}")
        return cls(**{name: value for name, value in (given or {}).items() if value is not None})

    @property
    def are_ours(self) -> bool:
        """Whether nothing has to be converted."""
        return all(getattr(self, f"{field.name}_factor") == 1.0 for field in fields(self))

    @property
    def length_factor(self) -> float:
        """Å."""
        return _look_up("length", self.length, LENGTHS)

    @property
    def energy_factor(self) -> float:
        """eV."""
        return _look_up("energy", self.energy, ENERGIES)

    @property
    def forces_factor(self) -> float:
        """eV/Å."""
        return _over(str(self.forces), "forces", "")

    @property
    def stress_factor(self) -> float:
        """eV/Å³, negative for numbers that are positive under pressure."""
        unit = str(self.stress)
        name = unit.removeprefix("-")
        sign = -1.0 if unit.startswith("-") else 1.0
        return sign * (STRESSES[name] if name in STRESSES else _over(name, "stress", "3"))

    @property
    def virial_factor(self) -> float:
        """eV, negative for numbers that are plus the stress times the volume."""
        unit = str(self.virial)
        return (-1.0 if unit.startswith("-") else 1.0) * _look_up("virial", unit.removeprefix("-"), ENERGIES)


def _plain(unit: str) -> str:
    """In small letters, with the long names of units: ``Ha/Bohr`` becomes ``hartree/bohr``."""
    words = unit.strip().lower().replace("^", "").replace("³", "3").replace("**", "").split("/")
    sign = "-" if words[0].startswith("-") else ""
    words[0] = words[0].removeprefix("-")
    long = []
    for word in words:
        power = "3" if word.endswith("3") else ""
        name = word.removesuffix("3")
        long.append(SPELLINGS.get(name, name) + power)
    return sign + "/".join(long)


def _look_up(key: str, unit: str, table: Mapping[str, float]) -> float:
    if unit not in table:
        raise TamisError(f"dataset.units.{key} is {unit}; choose one of {', '.join(table)}")
    return table[unit]


def _over(unit: str, key: str, power: str) -> float:
    """An energy over a length (or its ``power``), in eV and Å."""
    energy, _, length = unit.rpartition("/")
    name = length.removesuffix(power) if power else length
    if energy not in ENERGIES or name not in LENGTHS or (power and not length.endswith(power)):
        other = f"one of {', '.join(STRESSES)} or " if key == "stress" else ""
        raise TamisError(
            f"dataset.units.{key} is {unit}; {other}an energy over a {'volume' if power else 'length'} is needed, "
            f"such as ev/angstrom{power} or hartree/bohr{power}"
        )
    return ENERGIES[energy] / LENGTHS[name] ** (3 if power else 1)
