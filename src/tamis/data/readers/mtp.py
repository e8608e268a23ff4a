"""``.cfg`` of the moment tensor potentials' programs MLIP-2 and MLIP-3."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms

from tamis.data.readers.columns import MOST_ATOMS, Words, columns, reals

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
AXES = ("x", "y", "z")


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
    size, cell, table, names = -1, np.empty((0, 3)), None, []
    info: dict[str, object] = {}
    features: dict[str, str] = {}
    seen: set[str] = set()
    for line in lines:
        key, *words = line.split() or [""]
        if key in seen:
            raise ValueError(f"{key[:40]} stands twice in one structure")
        seen |= {key} - {"", "Feature"}
        if key == "END_CFG":
            break
        if key == "Size":
            size = int(next(lines))
            if not 0 < size <= MOST_ATOMS:
                raise ValueError(f"a structure of {size} atoms")
        elif key in ("Supercell", "SuperCell"):
            cell = reals(columns([next(lines).split() for _ in range(3)], 3))
        elif key in ("AtomData:", "Atomic_data:"):
            if size < 0:
                raise ValueError("AtomData stands before Size")
            names = words
            table = dict(
                zip(names, columns([row.split() for row in islice(lines, size)], len(names)), strict=True)
            )
        elif key == "Energy":
            info["energy"] = float(next(lines))
        elif key == "PlusStress:":
            found = dict(zip(words, map(float, next(lines).split()), strict=True))
            info["virial"] = np.array([found[name] for name in VOIGT])
        elif key == "Feature" and words:
            name, value = words[0], line.split(maxsplit=2)[2].strip() if len(words) > 1 else ""
            features[name] = f"{features[name]}\n{value}" if name in features else value
        elif key:
            raise ValueError(
                f"{key[:40]!r} is unknown"
                + (
                    "; its unit and sign differ between versions of MLIP: write PlusStress:, the virial in eV"
                    if key in ("Stress:", "Virial:")
                    else ""
                )
            )
    else:
        raise ValueError("the last structure has no END_CFG")
    if table is None or len(set(names)) < len(names) or len(next(iter(table.values()), ())) != size:
        raise ValueError("a structure has no AtomData with as many lines as Size says")
    atoms = _atoms(table, cell)
    atoms.info |= features | info
    return atoms


def _atoms(table: dict[str, Words], cell: np.ndarray) -> Atoms:
    periodic = len(cell) == 3
    direct = "direct_x" in table
    if direct and not periodic:
        raise ValueError("direct coordinates without a Supercell")
    ways = [f"{'direct' if direct else 'cartes'}_{axis}" for axis in AXES]
    positions = reals([table.pop(name) for name in ways])
    kinds = np.array([int(word) for word in table.pop("type", ("0",) * len(positions))])
    ids = [int(word) for word in table.pop("id", ())]
    if ids and ids != list(range(1, len(ids) + 1)):
        raise ValueError("the ids of atoms are not 1, 2, 3 ... in order")
    atoms = Atoms(
        np.zeros(len(kinds), dtype=int),
        positions=positions @ cell if direct else positions,
        cell=cell if periodic else None,
        pbc=periodic,
    )
    atoms.set_array("type", kinds)
    if "fx" in table:
        atoms.set_array("forces", reals([table.pop(f"f{axis}") for axis in AXES]))
    for name, words in table.items():
        atoms.set_array(name, reals([words]).ravel())
    return atoms
