"""``.xyzf``, the structures of chimes_lsq, in its units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms

from tamis.core.units import A_PER_BOHR, EV_PER_HARTREE, GPA_PER_EV_PER_A3, KCAL_PER_MOL_PER_EV
from tamis.data.readers.columns import MOST_ATOMS, columns, reals, symbols

SKEWED = ("NON_ORTHO", "NON-ORTHO")
"""Words before nine numbers of a cell; without one there are three."""
ENERGY_OF = {0: False, 1: True, 3: False, 4: True, 6: False, 7: True}
"""Numbers behind the cell -> whether the last one is the energy."""
HEADER = re.compile(rb"\s*\d+[ \t]*\r?\n[ \t]*(?:NON[_-]ORTHO\b|[-+.\dEe \t]+\r?\n)")


def is_xyzf(path: Path, head: bytes) -> bool:
    """Whether a file has the suffix .xyzf, and a header of numbers."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return ".xyzf" in suffixes and HEADER.match(head) is not None


def read_xyzf(path: Path) -> Iterator[Atoms]:
    """Number of atoms, header, atoms with positions and forces.

    The header has the cell, Å (``lx ly lz``, or ``NON_ORTHO`` and nine numbers); three or six components of the stress,
    GPa, positive under pressure, in the order xx yy zz xy xz yz; the energy, kcal/mol. Either may be missing. Forces
    are in hartree/bohr. All are converted to eV and Å.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "r") as file:
        lines = iter(file)
        for line in lines:
            if not line.strip():
                continue
            n_atoms = int(line)
            if not 0 < n_atoms <= MOST_ATOMS:
                raise ValueError(f"a structure of {n_atoms} atoms")
            header = next(lines, "").split()
            rows = list(islice(lines, n_atoms))
            if len(rows) < n_atoms or not rows[-1].endswith("\n"):
                raise ValueError(f"it does not hold {n_atoms} whole lines of atoms")
            yield _structure(header, [row.split() for row in rows])


def _structure(header: list[str], rows: list[list[str]]) -> Atoms:
    skewed = header[:1] and header[0] in SKEWED
    numbers = [float(word) for word in (header[1:] if skewed else header)]
    n_cell = 9 if skewed else 3
    behind = numbers[n_cell:]
    if len(numbers) < n_cell or len(behind) not in ENERGY_OF:
        raise ValueError(
            f"a header has {len(numbers)} numbers; {n_cell} of the cell, 0, 3 or 6 of the stress, and the energy are "
            "known"
        )
    elements, *values = columns(rows, 7)
    cell = np.reshape(numbers[:9], (3, 3)) if skewed else np.diag(numbers[:3])
    atoms = Atoms(symbols(elements), positions=reals(values[:3]), cell=cell, pbc=True)
    atoms.set_array("forces", reals(values[3:]) * (EV_PER_HARTREE / A_PER_BOHR))
    if ENERGY_OF[len(behind)]:
        atoms.info["energy"] = behind.pop() / KCAL_PER_MOL_PER_EV
    if behind:
        xx, yy, zz, xy, xz, yz = -np.array(behind + [np.nan] * (6 - len(behind))) / GPA_PER_EV_PER_A3
        atoms.info["stress"] = np.array([xx, yy, zz, yz, xz, xy])
    return atoms
