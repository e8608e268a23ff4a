"""``.cfg`` of the moment tensor potentials' programs MLIP-2 and MLIP-3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from tamis.data.readers.columns import Array, Words, columns, reals

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
AXES = ("x", "y", "z")
KEYS = ("Size", "Supercell", "AtomData", "Energy", "PlusStress")
SPELLINGS = {"SuperCell": "Supercell", "Atomic_data:": "AtomData"}
AS_VIRIAL = "call it PlusStress: where it is the virial in eV"
Section = tuple[list[str], list[list[str]]]
"""Words behind the key, and rows of words below it."""


def is_cfg(path: Path, head: bytes) -> bool:
    """Whether a file begins with a structure of MLIP; AtomEye's files have this suffix, too."""
    return head.lstrip().startswith(b"BEGIN_CFG")


def read_cfg(path: Path) -> Iterator[Atoms]:
    """Between ``BEGIN_CFG`` and ``END_CFG``: Size, Supercell, AtomData, Energy, PlusStress, Features; Å and eV.

    PlusStress is the virial, minus ASE's stress times the volume: mlip-3's users compare it with LAMMPS' pressure times
    the volume. Atoms have the numbers of their kinds in the column ``type``. Features are kept under their names, and
    further columns, such as site_en and charge.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "r") as file:
        lines = iter(file)
        for line in lines:
            if line.split() == ["BEGIN_CFG"]:
                yield _structure(lines)
            elif line.strip():
                raise ValueError(f"BEGIN_CFG is expected, found {line.strip()[:40]!r}")


def _structure(lines: Iterator[str]) -> Atoms:
    sections, features = _sections(lines)
    if missing := {"Size", "AtomData"} - sections.keys():
        raise ValueError(f"a structure has no {' and no '.join(sorted(missing))}")

    def numbers(key: str, n_rows: int, n_columns: int) -> list[Words]:
        rows = sections[key][1]
        if len(rows) != n_rows:
            raise ValueError(f"{key} has {len(rows)} lines of numbers, expected are {n_rows}")
        return columns(rows, n_columns)

    size = int(numbers("Size", 1, 1)[0][0])
    if size < 1:
        raise ValueError(f"a structure of {size} atoms")
    names = sections["AtomData"][0]
    if len(set(names)) < len(names):
        raise ValueError("two columns of AtomData have one name")
    table = dict(zip(names, numbers("AtomData", size, len(names)), strict=True))
    atoms = _atoms(table, reals(numbers("Supercell", 3, 3)) if "Supercell" in sections else None)
    atoms.info |= features
    if "Energy" in sections:
        atoms.info["energy"] = float(numbers("Energy", 1, 1)[0][0])
    if "PlusStress" in sections:
        names = sections["PlusStress"][0]
        found = dict(zip(names, numbers("PlusStress", 1, len(names)), strict=True))
        atoms.info["virial"] = np.array([float(found[name][0]) for name in VOIGT])
    return atoms


def _sections(lines: Iterator[str]) -> tuple[dict[str, Section], dict[str, str]]:
    """What stands until END_CFG: sections by key, and features."""
    sections: dict[str, Section] = {}
    features: dict[str, str] = {}
    rows: list[list[str]] | None = None
    for line in lines:
        if not line.strip():
            continue
        first, *words = line.split()
        key = SPELLINGS.get(first, first).removesuffix(":")
        if key == "END_CFG":
            return sections, features
        if key in sections:
            raise ValueError(f"{key} stands twice in one structure")
        if key in KEYS:
            rows = []
            sections[key] = (words, rows)
        elif key == "Feature" and words:
            rows = None
            name, value = words[0], (line.split(maxsplit=2)[2:] or [""])[0].strip()
            features[name] = f"{features[name]}\n{value}" if name in features else value
        elif key in ("Stress", "Virial"):
            raise ValueError(f"the sign and unit of {first} differ between versions of MLIP; {AS_VIRIAL}")
        elif rows is None or (first[0].isalpha() and first.lower() not in ("nan", "inf")):
            raise ValueError(f"{first[:40]!r} is unknown")
        else:
            rows.append([first, *words])
    raise ValueError("the last structure has no END_CFG")


def _atoms(table: dict[str, Words], cell: Array | None) -> Atoms:
    if "direct_x" in table:
        if cell is None:
            raise ValueError("direct coordinates without a Supercell")
        positions = reals([table.pop(f"direct_{axis}") for axis in AXES]) @ cell
    else:
        positions = reals([table.pop(f"cartes_{axis}") for axis in AXES])
    kinds = np.array([int(word) for word in table.pop("type", ("0",) * len(positions))])
    ids = [int(word) for word in table.pop("id", ())]
    if ids and ids != list(range(1, len(ids) + 1)):
        raise ValueError("the ids of atoms are not 1, 2, 3 ... in order")
    atoms = Atoms(
        np.zeros(len(kinds), dtype=int),
        positions=positions,
        cell=cell,
        pbc=cell is not None,
    )
    atoms.set_array("type", kinds)
    if "fx" in table:
        atoms.set_array("forces", reals([table.pop(f"f{axis}") for axis in AXES]))
    for name, words in table.items():
        atoms.set_array(name, reals([words]).ravel())
    return atoms
