"""Units in which the field's programs write labels, and which of them have a given factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tamis.core.units import A_PER_BOHR
from tamis.data import file_units

ENERGIES = {
    unit: 1.0 / file_units.ENERGIES[unit] for unit in ("hartree", "rydberg", "kcal/mol", "kj/mol", "mev")
}
"""Of each in one eV."""
FORCES = {
    **{f"{unit}/bohr": A_PER_BOHR * ENERGIES[unit] for unit in ("hartree", "rydberg")},
    **{f"{unit}/angstrom": ENERGIES[unit] for unit in ("kcal/mol", "kj/mol", "mev")},
    "ev/bohr": A_PER_BOHR,
    "kj/mol/nm": file_units.LENGTHS["nm"] * ENERGIES["kj/mol"],
}
"""Of each in one eV/Å."""
STRESSES = {
    **{unit: 1.0 / number for unit, number in file_units.STRESSES.items()},
    **{f"{unit}/bohr3": A_PER_BOHR**3 * ENERGIES[unit] for unit in ("hartree", "rydberg")},
}
"""Of each in one eV/Å³."""
FAMILIES = (
    ("hartree", "hartree/bohr"),
    ("rydberg", "rydberg/bohr"),
    ("kj/mol", "kj/mol/nm"),
)
"""Of energies and forces, which come together, and do not belong together where positions are in Å."""
VIRIALS = {unit: ENERGIES[unit] for unit in ("hartree", "rydberg", "kcal/mol")}
"""Of each in one eV."""
NEAR = 0.3
"""|ln| of the factor that was found over that of a unit, below which the unit is named."""
GRADIENTS = "the sign of gradients: turn it in the file"
PER_ATOM = "energies per atom (total energies are needed: multiply each by its number of atoms in the file)"


@dataclass(frozen=True)
class Explanation:
    """What may be meant: in words, with what to type.

    misfit : |ln| of the factor that was found over that of the unit.
    forces : of the unit that forces would have, in one eV/Å; negative for gradients.
    """

    text: str
    misfit: float = 0.0
    forces: float = 1.0


def matching(
    factor: float, units: Mapping[str, float], text: str, inverse: bool = False
) -> list[Explanation]:
    """Those of ``units`` that are NEAR ``factor``, with {unit} filled in; ``inverse``: whose inverse is, of forces."""
    found = []
    for unit, number in units.items():
        misfit = distance(factor, 1.0 / number if inverse else number)
        if misfit < NEAR:
            found.append(Explanation(text.format(unit=unit), misfit, number if inverse else 1.0))
    return found


def distance(factor: float, number: float) -> float:
    """|ln| of their ratio; infinity for opposite signs."""
    return float(abs(np.log(factor / number))) if factor * number > 0.0 else np.inf


def of_energies_and_forces(factor: float) -> list[Explanation]:
    """What makes energies ``factor`` times as large as forces suggest, or of the opposite sign."""
    if factor < 0.0:
        if distance(-factor, 1.0) < NEAR:
            return [Explanation(f"forces with {GRADIENTS}", distance(-factor, 1.0), -1.0)]
        others = of_energies_and_forces(-factor)
        return [Explanation(f"{one.text}, and with {GRADIENTS}", one.misfit, -one.forces) for one in others]
    both = [
        Explanation(
            f"energies in {energy} with forces in {force} ({settings(energy, force)})",
            distance(factor, ENERGIES[energy] / FORCES[force]),
            FORCES[force],
        )
        for energy, force in FAMILIES
        if distance(factor, ENERGIES[energy] / FORCES[force]) < NEAR
    ]
    return [
        *matching(factor, ENERGIES, f"energies in {{unit}} ({settings('{unit}', 'ev/angstrom')})"),
        *matching(factor, FORCES, "forces in {unit} (dataset.units.forces={unit})", inverse=True),
        *both,
    ]


def settings(energy: str, forces: str) -> str:
    """What to type; units of stresses that are not named would follow that of energies."""
    return (
        f"dataset.units.energy={energy} dataset.units.forces={forces} dataset.units.stress=ev/angstrom3 "
        "dataset.units.virial=ev"
    )


def of_stresses(factor: float, by: str) -> list[Explanation]:
    """What makes stresses ``factor`` times as large as the labels in ``by`` suggest: energies, forces or both."""
    sign, turned = ("-", ", positive under pressure") if factor < 0.0 else ("", "")
    found = [
        *matching(abs(factor), STRESSES, f"{{unit}}{turned} (dataset.units.stress={sign}{{unit}})"),
        *matching(abs(factor), VIRIALS, f"a virial in {{unit}} (dataset.units.virial={sign}{{unit}})"),
    ]
    if distance(factor, -1.0) < NEAR:
        text = (
            "the opposite sign (dataset.units.stress=-ev/angstrom3, or dataset.units.virial=-ev for a virial)"
        )
        found.append(Explanation(text, distance(factor, -1.0)))
    if by == "energies":
        text = f"energies in {{unit}} ({settings('{unit}', 'ev/angstrom')})"
        found += [replace(one, forces=1.0) for one in matching(factor, ENERGIES, text, inverse=True)]
    if by == "forces":
        found += matching(factor, FORCES, "forces in {unit} (dataset.units.forces={unit})", inverse=True)
    if by == "both":
        text = f"energies and forces in {{unit}} ({settings('{unit}', '{unit}/angstrom')})"
        found += matching(factor, ENERGIES, text, inverse=True)
    return found


def of_virials_as_stresses(factor: float) -> list[Explanation]:
    """What stresses are that would fit, ``factor`` times, if they were divided by the volume."""
    virial = "a virial in eV (dataset.stress_key=null, and its key as dataset.virial_key)"
    turned = (
        "a virial of the opposite sign (dataset.stress_key=null, its key as dataset.virial_key, and "
        "dataset.units.virial=-ev)"
    )
    return [
        Explanation(text, distance(factor, number))
        for text, number in ((virial, -1.0), (turned, 1.0))
        if distance(factor, number) < NEAR
    ]


def of_stresses_as_virials(factor: float) -> list[Explanation]:
    """What stresses are that would fit, ``factor`` times, if they were multiplied by the volume."""
    sign = "" if factor < 0.0 else "-"  # a virial has the other sign
    text = (
        "a stress in {unit} that was read as a virial (dataset.virial_key=null, its key as dataset.stress_key, and "
        f"dataset.units.stress={sign}{{unit}})"
    )
    found = matching(abs(factor), {"ev/angstrom3": 1.0, **STRESSES}, text)
    return [one if "ev/angstrom3" in one.text else replace(one, misfit=one.misfit + NEAR) for one in found]
