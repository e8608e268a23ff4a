"""Molecules in one .npz file: as in MD17, rMD17 and sGDML (one molecule), and as in PhysNet (several)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.data.readers.reader import Units

SPELLINGS = {
    "positions": ("R", "coords", "coordinates", "positions", "pos"),
    "numbers": ("z", "Z", "nuclear_charges", "atomic_numbers", "numbers"),
    "energy": ("E", "energies", "energy"),
    "forces": ("F", "forces", "force"),
    "counts": ("N",),
    "cell": ("lattice",),
}
"""What an array means -> the names that files give it."""
UNITS_OF_FILE = {"length": "r_unit", "energy": "e_unit"}
"""Kind of number -> where files of sGDML name its unit."""


def is_npz_of_one_molecule(path: Path, head: bytes) -> bool:
    """A file with positions, and atomic numbers that all its structures share."""
    names = _meanings(path, head)
    return {"positions", "numbers"} <= names and "counts" not in names


def is_npz_of_molecules(path: Path, head: bytes) -> bool:
    """A file in which each structure has its number of atoms, and atomic numbers of its own."""
    return {"positions", "numbers", "counts"} <= _meanings(path, head)


def names_in(path: Path, head: bytes) -> set[str]:
    """Names of the arrays of a .npz file; none of another file."""
    if not head.startswith(b"PK"):
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except Exception:  # zipfile raises whatever a damaged archive leads to
        return set()
    return {name.removesuffix(".npy") for name in members if name.endswith(".npy")}


def _meanings(path: Path, head: bytes) -> set[str]:
    names = names_in(path, head)
    return {what for what, spellings in SPELLINGS.items() if names & set(spellings)}


def read_npz(path: Path) -> Iterator[Atoms]:
    """The structures in order: energy in ``info``, forces a column, and so the other arrays.

    Raises
    ------
    TamisError : arrays are missing or do not fit each other.
    """
    with np.load(path, allow_pickle=False) as file:
        content = {name: file[name] for name in file.files}
    named = {what: [name for name in spellings if name in content] for what, spellings in SPELLINGS.items()}
    if twice := [names for names in named.values() if len(names) > 1]:
        raise TamisError(f"{path} has {' and '.join(twice[0])}, which mean the same; leave one of them out")
    arrays = {what: content.pop(names[0]) for what, names in named.items() if names}
    _check(path, arrays)
    n = len(arrays["positions"])
    units = {name: str(content.pop(name)) for name in UNITS_OF_FILE.values() if name in content}
    others = {name: array for name, array in content.items() if array.ndim and len(array) == n}
    for i in range(n):
        atoms = _molecule(arrays, i)
        atoms.info |= units
        for name, array in others.items():
            if array.ndim > 1 and array.shape[1] == arrays["positions"].shape[1]:  # a column
                atoms.arrays[name] = array[i][: len(atoms)]
            else:
                atoms.info[name] = array[i].item() if array[i].size == 1 else array[i]
        yield atoms


def _check(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    positions = arrays.get("positions", np.empty(0))
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise TamisError(
            f"{path}: the positions have the shape {positions.shape}; (frames, atoms, 3) is needed"
        )
    n, n_atoms, _ = positions.shape
    shapes = {"numbers": [(n_atoms,), (n, n_atoms)], "energy": [(n,), (n, 1)], "forces": [positions.shape]}
    shapes |= {"counts": [(n,)], "cell": [(3, 3)]}
    for what, allowed in shapes.items():
        if what in arrays and arrays[what].shape not in allowed:
            raise TamisError(
                f"{path}: {what} has the shape {arrays[what].shape}; the positions have {positions.shape}, so "
                f"{' or '.join(map(str, allowed))} is needed"
            )


def _molecule(arrays: Mapping[str, NDArray[Any]], i: int) -> Atoms:
    positions, numbers = arrays["positions"][i], arrays["numbers"]
    count = int(arrays["counts"][i]) if "counts" in arrays else len(positions)
    if not 0 < count <= len(positions):
        raise TamisError(f"structure {i} says it has {count} atoms; there are 1 to {len(positions)} rows")
    numbers = numbers[i] if numbers.ndim == 2 else numbers
    cell = arrays.get("cell")
    atoms = Atoms(
        numbers=numbers[:count].astype(int),
        positions=positions[:count].astype(float),
        cell=None if cell is None else cell.T,  # sGDML has the vectors as columns
        pbc=cell is not None,
    )
    if "energy" in arrays:
        atoms.info["energy"] = float(arrays["energy"][i].item())
    if "forces" in arrays:
        atoms.arrays["forces"] = arrays["forces"][i][:count].astype(float)
    return atoms


def units_of_md17(frames: Sequence[Atoms]) -> tuple[Units, str]:
    """The units that the file names; else those of MD17, Å and kcal/mol."""
    first = frames[0].info if frames else {}
    named = {kind: str(first[name]) for kind, name in UNITS_OF_FILE.items() if name in first}
    return {"energy": "kcal/mol"} | named, "as the file says" if named else "as in MD17 and rMD17"
