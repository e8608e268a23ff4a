"""The labels of one structure in a file, by their keys, in tamis' units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.data.file_units import FileUnits
from tamis.data.readers.reader import StoredCalculator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Keys:
    """Names under which the files have the labels; None: not read."""

    energy: str
    forces: str | None
    stress: str | None
    virial: str | None


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """One structure with its labels (units of Dataset), its problems, and ``source`` as it was in the file.

    forces : NaN without a label.
    """

    name: str
    atoms: Atoms
    energy: float
    forces: Array
    stress: Array
    problems: tuple[str, ...]
    source: Atoms


def labelled(source: Atoms, name: str, keys: Keys, units: FileUnits) -> LabelledStructure:
    """The structure ``source`` of a file, with the id ``name``, and its labels."""
    atoms = bare(source, units.factor("length"))
    energy, wrong_energy = _energy_of(source, keys, units)
    forces, wrong_forces = _forces_of(source, keys, units)
    stress, wrong_stress = stress_of(source, atoms, keys, units)
    problems = (*wrong_energy, *wrong_forces, *wrong_stress)
    return LabelledStructure(name, atoms, energy, forces, stress, problems, without_ballast(source))


def _energy_of(source: Atoms, keys: Keys, units: FileUnits) -> tuple[float, list[str]]:
    """Energy, eV (NaN without a label), and problems with the label."""
    value = label(source, keys.energy)
    if value is None:
        there = ", ".join(names_of_labels(source))
        return np.nan, [
            f"has no {keys.energy}; it has {there}: set dataset.energy_key, or leave the structure out"
        ]
    found = numbers(value)
    if found is None:
        return np.nan, [f"{keys.energy} is {str(value)[:60]!r}; numbers are needed"]
    if found.size != 1:
        return np.nan, [f"{keys.energy} has {found.size} numbers; one is needed"]
    return float(found.item()) * units.factor("energy"), []


def _forces_of(source: Atoms, keys: Keys, units: FileUnits) -> tuple[Array, list[str]]:
    """Forces (n_atoms, 3), eV/Å (NaN without a label), and problems with the label."""
    missing = np.full((len(source), 3), np.nan)
    value = label(source, keys.forces) if keys.forces else None
    if value is None:
        return missing, []
    found = numbers(value)
    if found is None:
        return missing, [f"{keys.forces} is {str(value)[:60]!r}; numbers are needed"]
    return found * units.factor("forces"), []


def bare(source: Atoms, angstrom: float) -> Atoms:
    """Elements, positions, cell and periodicity only, with lengths times ``angstrom``.

    A direction with a cell vector of length zero is not periodic, whatever the file says: files that give a cell and no
    ``pbc`` are read as periodic in all directions.
    """
    periodic = source.pbc & source.cell.array.any(axis=1)
    atoms = Atoms(source.numbers, cell=source.cell.array * angstrom, pbc=periodic)
    positions = source.arrays["positions"]
    atoms.arrays["positions"] = (
        positions if angstrom == 1.0 else positions * angstrom
    )  # shared, and never written to
    return atoms


def without_ballast(source: Atoms) -> Atoms:
    """``source`` with the results of its calculator only, not its copy of the atoms or bands of every k point."""
    if source.calc is not None and not isinstance(source.calc, StoredCalculator):
        source.calc = StoredCalculator(source.calc.results)
    return source


def stress_of(source: Atoms, atoms: Atoms, keys: Keys, units: FileUnits) -> tuple[Array, list[str]]:
    """Stress (6,), eV/Å³, ASE sign (NaN without a label), and problems with the label."""
    missing = np.full(6, np.nan)
    if not has_volume(atoms):
        return missing, []
    for what, key in (("stress", keys.stress), ("virial", keys.virial)):
        values = stress_under(source, atoms, what, key, units)
        if values is not None:
            return (values, []) if values.size else (missing, [f"{key} needs 6 or 9 numbers"])
    return missing, []


def has_volume(atoms: Atoms) -> bool:
    """Whether the structure can have a stress: it is periodic in all directions."""
    return bool(atoms.pbc.all()) and atoms.cell.volume != 0.0


def stress_under(source: Atoms, atoms: Atoms, what: str, key: str | None, units: FileUnits) -> Array | None:
    """Stress (6,), eV/Å³, from the stress or the virial (``what``) under ``key``: minus the virial over the volume.

    Empty if the label is no tensor, None if there is none.
    """
    value = label(source, key) if key else None
    if value is None:
        return None
    values = voigt(value)
    if values is None:
        return np.empty(0)
    return values * units.factor(what) / (-atoms.cell.volume if what == "virial" else 1.0)


def label(atoms: Atoms, key: str) -> Any:
    """The value under ``key``, which ASE keeps with the atoms or in a calculator; None: there is none."""
    if key in atoms.info:
        return atoms.info[key]
    if key in atoms.arrays:
        return atoms.arrays[key]
    return results_of(atoms).get(key)


def results_of(atoms: Atoms) -> Mapping[str, Any]:
    """The results that ASE keeps in a calculator."""
    return {} if atoms.calc is None else atoms.calc.results


def names_of_labels(atoms: Atoms) -> list[str]:
    """Names of all labels of ``atoms``."""
    results = [key for key, value in results_of(atoms).items() if value is not None]
    names = {*map(str, atoms.info), *results, *(set(atoms.arrays) - {"numbers", "positions"})}
    return sorted(names) or ["nothing"]


def numbers(values: Any) -> Array | None:
    """``values`` as an array of float64; None if they are no numbers, as True and False are none."""
    try:
        return None if np.asarray(values).dtype == np.bool_ else np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None


def voigt(values: Any) -> Array | None:
    """Six numbers xx yy zz yz xz xy of a symmetric tensor given as 6, 9 or 3 x 3 numbers; None for anything else."""
    found = numbers(values)
    if found is None or found.size not in (6, 9):
        return None
    if found.size == 6:
        return found.ravel()
    full = found.reshape(3, 3)
    full = 0.5 * (full + full.T)
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])
