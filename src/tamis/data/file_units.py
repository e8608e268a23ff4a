"""Units of the numbers in a user's file, and the factors that convert them to tamis' own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
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
PRESSURES = {
    "gpa": 1.0 / GPA_PER_EV_PER_A3,
    "mpa": 1e-3 / GPA_PER_EV_PER_A3,
    "pa": 1e-9 / GPA_PER_EV_PER_A3,
    "kbar": EV_PER_A3_PER_KBAR,
    "bar": 1e-3 * EV_PER_A3_PER_KBAR,
}
"""eV/Å³ in each."""
UNITS = {
    "length": LENGTHS,
    "energy": ENERGIES,
    "forces": {f"{e}/{a}": ENERGIES[e] / LENGTHS[a] for e in ENERGIES for a in LENGTHS},
    "stress": PRESSURES | {f"{e}/{a}3": ENERGIES[e] / LENGTHS[a] ** 3 for e in ENERGIES for a in LENGTHS},
    "virial": ENERGIES,
}
"""Kind of number -> unit -> Å, eV, eV/Å, eV/Å³ or eV in each."""
WITH_SIGN = ("stress", "virial")
PRESETS = {
    "metal": {"length": "angstrom", "energy": "ev"},
    "real": {"length": "angstrom", "energy": "kcal/mol"},
    "atomic": {"length": "bohr", "energy": "hartree"},
    "rydberg": {"length": "bohr", "energy": "rydberg"},
    "gromacs": {"length": "nm", "energy": "kj/mol"},
}
"""Units of length and energy by one word; forces, stresses and virials follow from them."""
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
        length, energy = _plain(self.length), _plain(self.energy)
        implied = {"forces": f"{energy}/{length}", "stress": f"{energy}/{length}3", "virial": energy}
        for key in UNITS:
            unit = _plain(getattr(self, key) or implied[key])
            if unit.removeprefix("-" if key in WITH_SIGN else "") not in UNITS[key]:
                raise TamisError(f"dataset.units.{key} is {unit}; choose one of {', '.join(UNITS[key])}")
            object.__setattr__(self, key, unit)

    @classmethod
    def of(cls, given: Mapping[str, Any] | str | None) -> FileUnits:
        """From the units that a user typed, the others being those that follow from these, or Å and eV."""
        return cls(**typed_units(given))

    def name(self, key: str) -> str:
        """The unit of one kind of number, without its sign."""
        return str(getattr(self, key)).removeprefix("-")

    def factor(self, key: str) -> float:
        """Å, eV, eV/Å, eV/Å³ or eV in one unit of length, energy, forces, stress or virial.

        Negative for a unit with a minus in front.
        """
        return (-1.0 if getattr(self, key).startswith("-") else 1.0) * UNITS[key][self.name(key)]


def typed_units(given: Mapping[str, Any] | str | None) -> dict[str, str]:
    """The units that a user typed, by kind of number, from a section of a configuration or the name of a preset.

    Raises
    ------
    TamisError : neither a preset nor kinds of numbers.
    """
    if isinstance(given, str):
        if given not in PRESETS:
            raise TamisError(
                f"dataset.units is {given}; {suggest(given, PRESETS)}choose one of {', '.join(_presets())}, or set "
                f"dataset.units.energy and so on: {', '.join(UNITS)}"
            )
        return dict(PRESETS[given])
    if unknown := sorted(set(given or {}) - set(UNITS)):
        raise TamisError(f"dataset.units has {', '.join(unknown)}; its keys are {', '.join(UNITS)}")
    return {name: value for name, value in (given or {}).items() if value is not None}


def _presets() -> Iterator[str]:
    for name, units in PRESETS.items():
        yield f"{name} ({', '.join(units.values())})"


def _plain(unit: Any) -> str:
    """Lower case, with the long names of units: ``Ha/Bohr`` becomes ``hartree/bohr``."""
    words = str(unit).strip().lower().replace("^", "").replace("³", "3").replace("**", "").split("/")
    sign = "-" if words[0].startswith("-") else ""
    words[0] = words[0].removeprefix("-")
    powers = ["3" if word.endswith("3") else "" for word in words]
    names = [word.removesuffix("3") for word in words]
    return sign + "/".join(SPELLINGS.get(n, n) + power for n, power in zip(names, powers, strict=True))
