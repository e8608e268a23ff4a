"""Trajectories of CP2K: positions and energies in ``*-pos-1.xyz``, forces in ``*-frc-1.xyz``, cells in ``*-1.cell``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.units import A_PER_BOHR, EV_PER_HARTREE
from tamis.data.readers.packed import open_unpacked

NAME = re.compile(r"(?P<project>.+)-pos-(?P<run>\d+)\.xyz")
BESIDE = re.compile(r".+-(frc|vel)-\d+\.xyz")
COMMENT = re.compile(r"\s*i\s*=\s*(?P<step>\d+),(?:\s*time\s*=[^,=]+,)?\s*E\s*=\s*(?P<energy>[^\s,=]+)\s*")


def is_cp2k(path: Path, head: bytes) -> bool:
    """A file of this name whose comments have a step and an energy."""
    return bool(NAME.fullmatch(path.name)) and _has_comment(head)


def is_beside_cp2k(path: Path, head: bytes) -> bool:
    """Forces or velocities of a trajectory, in the place of positions."""
    return bool(BESIDE.fullmatch(path.name)) and _has_comment(head)


def _has_comment(head: bytes) -> bool:
    lines = head.decode(errors="replace").splitlines()
    return len(lines) > 1 and bool(COMMENT.fullmatch(lines[1]))


def read_cp2k(path: Path) -> Iterator[Atoms]:
    """The frames in order, converted from Å, hartree and hartree/bohr to Å and eV.

    Raises
    ------
    TamisError : the forces or cells are missing, or belong to other steps.
    """
    name = NAME.fullmatch(path.name)
    if name is None:
        raise TamisError(f"{path} is not called <project>-pos-1.xyz, so its forces and cells cannot be found")
    project, run = name["project"], name["run"]
    forces_file, cell_file = (
        path.with_name(f"{project}-frc-{run}.xyz"),
        path.with_name(f"{project}-{run}.cell"),
    )
    for file, section in ((forces_file, "FORCES"), (cell_file, "CELL")):
        if not file.exists():
            raise TamisError(
                f"{path} is a trajectory of CP2K, and {file.name} is not beside it; &MOTION &PRINT &{section} writes "
                "it. Or write one extended XYZ file with a Lattice, energy (hartree) and forces (hartree/bohr), and "
                "set dataset.units.energy=hartree and dataset.units.forces=hartree/bohr"
            )
    cells = {int(row[0]): row[2:11].reshape(3, 3) for row in np.loadtxt(cell_file, ndmin=2)}
    for here, there in zip(_frames(path), _frames(forces_file), strict=True):
        step, energy, symbols, positions = here
        if there[0] != step or there[2] != symbols or step not in cells:
            raise TamisError(
                f"{path} has the step {step}, {forces_file.name} {there[0]} in its place, and {cell_file.name} "
                f"{'has' if step in cells else 'lacks'} it; print all three at the same steps, of the same atoms"
            )
        atoms = Atoms(symbols, positions=positions, cell=cells[step], pbc=True)
        atoms.info = {"energy": energy * EV_PER_HARTREE, "step": step}
        atoms.arrays["forces"] = there[3] * (EV_PER_HARTREE / A_PER_BOHR)
        yield atoms


def _frames(path: Path) -> Iterator[tuple[int, float, list[str], NDArray[np.float64]]]:
    """Step, energy, symbols, and three numbers of each atom (n, 3)."""
    with open_unpacked(path) as file:
        lines = iter(file.read().decode().splitlines())
    for header in lines:
        comment = next(lines, "")
        found = COMMENT.fullmatch(comment)
        rows = [next(lines, "").split() for _ in range(min(int(header), 10**7))]
        if found is None or any(len(row) != 4 for row in rows):
            raise TamisError(f"{path} is cut, or is no file of CP2K, at {comment.strip()[:60]!r}")
        numbers = np.array([row[1:] for row in rows], dtype=float)
        yield int(found["step"]), float(found["energy"]), [row[0] for row in rows], numbers
