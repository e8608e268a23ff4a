"""Units in which the field's programs write labels, and what a factor between two kinds of labels may mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tamis.data.file_units import PRESSURES, UNITS


def _in_one(kind: str, *units: str) -> dict[str, float]:
    return {unit: 1.0 / UNITS[kind][unit] for unit in units}


ENERGIES = _in_one("energy", "hartree", "rydberg", "kcal/mol", "kj/mol", "mev")
"""Number of each in one eV."""
FORCES = _in_one(
    "forces",
    *("hartree/bohr", "rydberg/bohr", "kcal/mol/angstrom", "kj/mol/angstrom", "mev/angstrom"),
    *("ev/bohr", "kj/mol/nm"),
)
"""Number of each in one eV/Å."""
STRESSES = _in_one("stress", *PRESSURES, "hartree/bohr3", "rydberg/bohr3")
"""Number of each in one eV/Å³."""
VIRIALS = _in_one("virial", "hartree", "rydberg", "kcal/mol")
"""Number of each in one eV."""
FAMILIES = (("hartree", "hartree/bohr"), ("rydberg", "rydberg/bohr"), ("kj/mol", "kj/mol/nm"))
"""Units of energies and forces that programs use together; they do not match beside positions in Å."""
NEAR = 0.3
"""|ln| of the ratio of two factors, below which they are taken to be the same."""
GRADIENTS = "the sign of gradients: turn it in the file"


@dataclass(frozen=True)
class Reading:
    """A possible meaning of labels, in words, with the settings to type.

    factor : by which the labels are then larger than the others suggest.
    forces : unit that forces have then, in one eV/Å; negative for gradients.
    misfit : |ln| of the factor that was found over ``factor``; more for what is unlikely.
    """

    text: str
    factor: float = 1.0
    forces: float = 1.0
    misfit: float = 0.0


PER_ATOM = Reading(
    "energies per atom (total energies are needed: multiply each by its number of atoms in the file)"
)


def matching(factor: float, readings: Iterable[Reading]) -> list[Reading]:
    """The readings whose factors are near ``factor``."""
    misfits = [(one, misfit(factor, one.factor)) for one in readings]
    return [replace(one, misfit=one.misfit + off) for one, off in misfits if off < NEAR]


def misfit(factor: float, number: float) -> float:
    """|ln| of their ratio; infinity for opposite signs."""
    return float(abs(np.log(factor / number))) if factor * number > 0.0 else np.inf


def energies_beside_forces() -> list[Reading]:
    """Readings of energies and forces that do not match; factors are those of energies."""
    usual = [
        *(Reading(_energies_in(unit), number) for unit, number in ENERGIES.items()),
        *(Reading(_forces_in(unit), 1.0 / number, number) for unit, number in FORCES.items()),
        *(
            Reading(
                f"energies in {energy} with forces in {force} ({_settings(energy, force)})",
                ENERGIES[energy] / FORCES[force],
                FORCES[force],
            )
            for energy, force in FAMILIES
        ),
    ]
    turned = [Reading(f"{one.text}, and with {GRADIENTS}", -one.factor, -one.forces) for one in usual]
    return [*usual, Reading(f"forces with {GRADIENTS}", -1.0, -1.0), *turned]


def stresses_beside(others: str) -> list[Reading]:
    """Readings of stresses that do not match ``others``: energies, forces or both ("": forces with a known unit)."""
    found = [
        Reading(
            "the opposite sign (dataset.units.stress=-ev/angstrom3, or dataset.units.virial=-ev for a virial)",
            -1.0,
        )
    ]
    for sign, minus, note in ((1.0, "", ""), (-1.0, "-", ", positive under pressure")):
        found += [
            Reading(f"{unit}{note} (dataset.units.stress={minus}{unit})", sign * number)
            for unit, number in STRESSES.items()
        ]
        found += [
            Reading(f"a virial in {unit} (dataset.units.virial={minus}{unit})", sign * number)
            for unit, number in VIRIALS.items()
        ]
    if others == "energies":
        found += [Reading(_energies_in(unit), 1.0 / number) for unit, number in ENERGIES.items()]
    if others == "forces":
        found += [Reading(_forces_in(unit), 1.0 / number, number) for unit, number in FORCES.items()]
    if others == "both":
        found += [
            Reading(
                f"energies and forces in {unit} ({_settings(unit, f'{unit}/angstrom')})", 1.0 / number, number
            )
            for unit, number in ENERGIES.items()
        ]
    return found


VIRIALS_AS_STRESSES = (
    Reading("a virial in eV (dataset.stress_key=null, and its key as dataset.virial_key)", -1.0),
    Reading(
        "a virial of the opposite sign (dataset.stress_key=null, its key as dataset.virial_key, and "
        "dataset.units.virial=-ev)"
    ),
)
"""Readings of stresses that match after division by the volume."""


def stresses_as_virials() -> list[Reading]:
    """Readings of stresses that match after multiplication by the volume; a virial has the opposite sign."""
    return [
        Reading(
            f"a stress in {unit} that was read as a virial (dataset.virial_key=null, its key as dataset.stress_key, "
            f"and dataset.units.stress={minus}{unit})",
            sign * number,
            misfit=0.0 if unit == "ev/angstrom3" else NEAR,
        )
        for unit, number in {"ev/angstrom3": 1.0, **STRESSES}.items()
        for sign, minus in ((-1.0, ""), (1.0, "-"))
    ]


def _energies_in(unit: str) -> str:
    return f"energies in {unit} ({_settings(unit, 'ev/angstrom')})"


def _forces_in(unit: str) -> str:
    return f"forces in {unit} (dataset.units.forces={unit})"


def _settings(energy: str, forces: str) -> str:
    """The settings to type; the units of stresses are named, too, since they would follow that of energies."""
    return (
        f"dataset.units.energy={energy} dataset.units.forces={forces} dataset.units.stress=ev/angstrom3 "
        "dataset.units.virial=ev"
    )
