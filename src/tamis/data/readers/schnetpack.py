"""Databases of schnetpack: ASE's, with units in the metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ase import Atoms

from tamis.core.errors import TamisError
from tamis.data.file_units import LENGTHS, UNITS, FileUnits
from tamis.data.readers.ase_database import read_database

PROPERTIES, DISTANCE = "_property_unit_dict", "_distance_unit"
KINDS = ("energy", "forces", "stress")
"""Kinds of numbers whose units are converted; a property of another unit, such as a dipole, stays as it is."""


def is_schnetpack(path: Path, head: bytes) -> bool:
    """A database of SQLite whose metadata name units."""
    return head.startswith(b"SQLite format 3") and PROPERTIES in _metadata(path)


def read_schnetpack(path: Path) -> Iterator[Atoms]:
    """The rows in the order of their numbers, converted to Å and eV by the units in the metadata.

    Raises
    ------
    TamisError : a unit that is not known.
    """
    metadata = _metadata(path)
    angstrom = _factor(metadata.get(DISTANCE, "Ang"), ("length",), DISTANCE)
    factors = {}
    for name, unit in dict(metadata[PROPERTIES]).items():
        labels = [kind for kind in KINDS if kind in name.lower()]
        factors[str(name)] = _factor(unit, labels or KINDS, str(name), needed=bool(labels))
    for atoms in read_database(path, "db"):
        atoms.set_cell(atoms.cell.array * angstrom)
        atoms.positions *= angstrom
        for name, factor in factors.items():
            for place in (atoms.info, atoms.arrays):
                if name in place and factor != 1.0:
                    place[name] = place[name] * factor
        yield atoms


def _metadata(path: Path) -> Mapping[str, Any]:
    import ase.db

    try:
        with ase.db.connect(path, "db", serial=True) as database:
            return dict(database.metadata)
    except Exception:  # whoever reads the database meets the same, and tells
        return {}


def _factor(unit: Any, kinds: tuple[str, ...] | list[str], name: str, needed: bool = True) -> float:
    """Å, eV, eV/Å or eV/Å³ in one ``unit`` of one of ``kinds``."""
    spelling = str(unit).replace("/Ang/Ang/Ang", "/Ang^3").replace("/A/A/A", "/A^3")
    for kind in kinds:
        try:
            return FileUnits.of({kind: spelling}).factor(kind)
        except TamisError:
            continue
    if not needed:
        return 1.0
    raise TamisError(
        f"the metadata of the database say that {name} is in {unit!r}; known are {', '.join(LENGTHS)} and "
        f"{', '.join(UNITS['energy'])}: correct it with ase.db.connect(file).metadata = ..., or set dataset.format=db "
        "and dataset.units"
    )
