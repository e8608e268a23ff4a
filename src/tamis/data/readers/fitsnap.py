"""FitSNAP's JSON: a file a structure, in folders that are its groups."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from tamis.data.file_units import ENERGIES, LENGTHS, PRESSURES
from tamis.data.readers.columns import symbols

BEGIN = re.compile(rb'(?:#[^\n]*\n)?\s*\{\s*"Dataset"\s*:')
UNITS = {
    "Positions": {"angstrom": LENGTHS["angstrom"], "bohr": LENGTHS["bohr"]},
    "Lattice": {"angstrom": LENGTHS["angstrom"], "bohr": LENGTHS["bohr"]},
    "Energy": {
        "electronvolt": ENERGIES["ev"],
        "hartree": ENERGIES["hartree"],
        "rydberg": ENERGIES["rydberg"],
    },
    "Forces": {
        "electronvoltperangstrom": 1.0,
        "hartreeperbohr": ENERGIES["hartree"] / LENGTHS["bohr"],
        "rydbergperbohr": ENERGIES["rydberg"] / LENGTHS["bohr"],
    },
    "Stress": {
        "bar": PRESSURES["bar"],
        "kbar": PRESSURES["kbar"],
        "kb": PRESSURES["kbar"],
        "gigapascal": PRESSURES["gpa"],
        "gpa": PRESSURES["gpa"],
    },
}
"""Kind of number -> name in its Style -> Å, eV, eV/Å or eV/Å³ in each; the first is taken where there is no Style."""
ALREADY_READ = {"Positions", "Lattice", "Energy", "Forces", "Stress", "AtomTypes", "NumAtoms"}


def is_fitsnap(path: Path, head: bytes) -> bool:
    """Whether a file is FitSNAP's: JSON, behind a comment or none, whose first key is Dataset."""
    return BEGIN.match(head) is not None


def read_fitsnap(path: Path) -> Iterator[Atoms]:
    """Entries of Data, converted to eV and Å by the Styles of the file; the folder's name is the group.

    The stress is positive under pressure, bar unless StressStyle says otherwise: FitSNAP fits it to LAMMPS' pressure.
    Further entries that are numbers or texts are kept under their names.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "r") as file:
        text = file.read()
    if text.startswith("#"):
        text = text.partition("\n")[2]
    dataset = json.loads(text)["Dataset"]
    factors = {what: _factor(dataset, what) for what in UNITS}
    for entry in dataset["Data"]:
        atoms = _structure(entry, factors)
        atoms.info.setdefault("config_type", path.absolute().parent.name)
        yield atoms


def _factor(dataset: dict[str, Any], what: str) -> float:
    known = UNITS[what]
    style = str(dataset.get(f"{what}Style", next(iter(known)))).lower()
    if style not in known:
        raise ValueError(f"{what}Style is {style[:40]}; known are {', '.join(known)}")
    return known[style]


def _structure(entry: dict[str, Any], factors: dict[str, float]) -> Atoms:
    def numbers(what: str) -> np.ndarray:
        return np.array(entry[what], dtype=float) * factors[what]

    elements, n_atoms = entry["AtomTypes"], int(entry.get("NumAtoms", len(entry["AtomTypes"])))
    positions, cell = numbers("Positions"), numbers("Lattice")
    if positions.shape != (n_atoms, 3) or len(elements) != n_atoms or cell.shape != (3, 3):
        raise ValueError(
            f"NumAtoms is {n_atoms}; there are {len(elements)} AtomTypes, Positions {positions.shape} and Lattice "
            f"{cell.shape}"
        )
    atoms = Atoms(symbols(tuple(map(str, elements))), positions=positions, cell=cell, pbc=True)
    if "Energy" in entry:
        atoms.info["energy"] = float(entry["Energy"]) * factors["Energy"]
    if "Forces" in entry:
        atoms.set_array("forces", numbers("Forces"), shape=(3,))
    if "Stress" in entry:
        atoms.info["stress"] = -numbers("Stress")
    for name in entry.keys() - ALREADY_READ:
        if isinstance(entry[name], str | int | float):
            atoms.info.setdefault(name, entry[name])
    return atoms
