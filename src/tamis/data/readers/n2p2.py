"""``input.data`` of n2p2 and RuNNer: structures in any units, bohr and hartree or Å and eV as a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.units import A_PER_BOHR
from tamis.data.plausibility.distances import usual_bond
from tamis.data.readers.columns import columns, reals, symbols
from tamis.data.readers.reader import Units

SAMPLE = 50
"""Structures whose distances are looked at."""
IN_ANGSTROM, IN_BOHR = (0.65, 1.35), (1.4, 2.7)
"""Distances of nearest neighbours over the sums of two radii, where lengths are in Å and in bohr."""


def is_input_data(path: Path, head: bytes) -> bool:
    """Whether a file begins with a structure of n2p2."""
    lines = [line.split() for line in head.splitlines()[:3]]
    return (
        len(lines) == 3
        and lines[0][:1] == [b"begin"]
        and {bytes(line[0]) if line else b"" for line in lines[1:]} <= {b"comment", b"lattice", b"atom"}
    )


def read_input_data(path: Path) -> Iterator[Atoms]:
    """Between ``begin`` and ``end``: comment, three or no lattice vectors, atoms, energy and charge.

    An atom has its position, element, charge, a number without a meaning, and force. The comment is kept; charges are
    where some are not zero.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "r") as file:
        block: list[str] | None = None
        for line in file:
            word = line.split(maxsplit=1)[0] if line.strip() else ""
            if block is None:
                if word == "begin":
                    block = [line]
                elif word:
                    raise ValueError(f"begin is expected, found {line.strip()[:40]!r}")
            elif word == "end":
                yield _structure(block)
                block = None
            else:
                block.append(line)
        if block is not None:
            raise ValueError("the last structure has no end")


def _structure(lines: list[str]) -> Atoms:
    words = [line.split() for line in lines[1:] if line.strip()]
    found: dict[str, list[list[str]]] = {}
    for key, *rest in words:
        found.setdefault(key, []).append(rest)
    if unknown := found.keys() - {"comment", "lattice", "atom", "energy", "charge"}:
        raise ValueError(f"unknown keyword {sorted(unknown)[0][:40]!r}")
    lattice = found.get("lattice", [])
    if len(lattice) not in (0, 3):
        raise ValueError(f"a structure has {len(lattice)} lattice vectors; three, or none, are needed")
    x, y, z, elements, charges, _, *forces = columns(found.get("atom", []), 9)
    atoms = Atoms(
        symbols(elements),
        positions=reals([x, y, z]) if elements else None,
        cell=reals(columns(lattice, 3)) if lattice else None,
        pbc=bool(lattice),
    )
    atoms.set_array("forces", reals(forces).reshape(-1, 3))
    if any(charge := reals([charges]).ravel()):
        atoms.set_array("charges", charge)
    for key in ("energy", "charge"):
        if key in found:
            if len(found[key]) > 1 or len(found[key][0]) != 1:
                raise ValueError(f"a structure has {key} {found[key]}; one number is needed")
            atoms.info[key] = float(found[key][0][0])
    if "comment" in found:
        atoms.info["comment"] = "\n".join(" ".join(rest) for rest in found["comment"])
    atoms.info |= dict(word.partition("=")[::2] for word in lines[0].split()[1:])  # set=train
    return atoms


def guess_units(structures: Sequence[Atoms]) -> tuple[Units, str]:
    """Bohr and hartree, or Å and eV, by the distances of nearest neighbours.

    Raises
    ------
    TamisError : the distances fit neither.
    """
    step = max(1, len(structures) // SAMPLE)
    bonds = np.array([_bond(atoms) for atoms in structures[::step]])
    bonds = bonds[np.isfinite(bonds)]
    bond = float(np.median(bonds)) if len(bonds) else np.nan
    how = f"by nearest neighbours, which are {bond:.2f} sums of two radii apart"
    if IN_ANGSTROM[0] <= bond <= IN_ANGSTROM[1]:
        return {"length": "angstrom", "energy": "ev"}, how
    if IN_BOHR[0] <= bond <= IN_BOHR[1]:
        return {"length": "bohr", "energy": "hartree"}, f"{how}, so {bond * A_PER_BOHR:.2f} in Å"
    seen = f"are {bond:.2f} sums of two radii apart" if np.isfinite(bond) else "cannot be found"
    raise TamisError(
        f"the units of input.data cannot be told from its structures (nearest neighbours {seen}); set them, such as "
        "dataset.units.length=bohr dataset.units.energy=hartree, or angstrom and ev"
    )


def _bond(atoms: Atoms) -> float:
    try:
        return usual_bond(atoms, IN_BOHR[1]) if len(atoms) else float("nan")
    except TamisError:  # the checks say what is wrong with it
        return float("nan")
