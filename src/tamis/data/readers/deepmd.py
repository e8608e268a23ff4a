"""Folders of DeePMD-kit: systems of NumPy or text arrays, with one or with many compositions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError

TYPES, SYMBOLS, FREE = "type.raw", "type_map.raw", "nopbc"
MIXED = "real_atom_types"
"""The array of the format for many compositions, whose ``type.raw`` says nothing; -1: no atom."""
NAMES = {"energy": "energy", "force": "forces", "virial": "virial"}
"""The file's names of labels -> those of the structures that are read."""
GEOMETRY = ("coord", "box", MIXED)


def is_deepmd(path: Path, head: bytes) -> bool:
    """A folder that is a system, or has systems somewhere below and no other files."""
    if not path.is_dir():
        return False
    if (path / TYPES).exists():
        return True
    systems = {file.parent for file in path.rglob(TYPES)}
    return bool(systems) and not any(
        one.is_file() and systems.isdisjoint(one.parents) and not one.name.startswith(".")
        for one in path.rglob("*")
    )


def read_deepmd(path: Path) -> Iterator[Atoms]:
    """The frames of all systems in and below ``path``, system by system, set by set.

    ``config_type`` is the system's folder, from ``path`` on. The virial has the sign of tamis: minus the stress times
    the volume.

    Raises
    ------
    TamisError : files are missing, or their numbers of frames and atoms do not fit each other.
    """
    for system in sorted(file.parent for file in path.rglob(TYPES)):
        name = system.relative_to(path).as_posix() if system != path else path.absolute().name
        for atoms in _frames(system):
            atoms.info["config_type"] = name
            yield atoms


def _frames(system: Path) -> Iterator[Atoms]:
    types = np.array((system / TYPES).read_text().split(), dtype=int)
    if not (system / SYMBOLS).exists():
        raise TamisError(
            f"{system} has no {SYMBOLS}, so the elements of its atoms are not known; write the chemical symbols of the "
            f"types in {TYPES} into it, one a line"
        )
    symbols = np.array((system / SYMBOLS).read_text().split())
    periodic = not (system / FREE).exists()
    for folder in sorted(system.glob("set.*")) or [system]:
        arrays = _arrays(folder)
        _check(folder, arrays, len(types), periodic)
        for i in range(len(arrays["coord"])):
            yield _frame(folder, {name: array[i] for name, array in arrays.items()}, types, symbols, periodic)


def _arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a set, or of a system in text files, each with one row a frame."""
    found = {}
    for path in sorted(folder.glob("*.npy")):  # read from the file: a header cannot ask for memory
        found[path.stem] = np.load(path, mmap_mode="r", allow_pickle=False)
    if not found:
        texts = [path for path in sorted(folder.glob("*.raw")) if path.name not in (TYPES, SYMBOLS)]
        found = {path.stem: np.loadtxt(path, ndmin=2) for path in texts}
    return {name: array.reshape(len(array), -1) for name, array in found.items() if array.ndim}


def _check(folder: Path, arrays: Mapping[str, NDArray[Any]], n_atoms: int, periodic: bool) -> None:
    for name in ("coord", "box") if periodic else ("coord",):
        if name not in arrays:
            free = (
                f"; an empty file {FREE} beside {TYPES} says that a system has no cell"
                if name == "box"
                else ""
            )
            raise TamisError(f"{folder} has no {name}.npy{free}")
    n_frames = len(arrays["coord"])
    for name, columns in (("coord", 3 * n_atoms), ("force", 3 * n_atoms), ("box", 9), (MIXED, n_atoms)):
        if name in arrays and arrays[name].shape != (n_frames, columns):
            raise TamisError(
                f"{folder}: {name} has the shape {arrays[name].shape}; coord has {n_frames} frames and {TYPES} "
                f"{n_atoms} atoms, so {(n_frames, columns)} is needed"
            )
    if short := [name for name, array in arrays.items() if len(array) != n_frames]:
        raise TamisError(f"{folder}: {', '.join(short)} and coord have different numbers of frames")


def _frame(
    folder: Path, row: Mapping[str, NDArray[Any]], types: NDArray[Any], symbols: NDArray[Any], periodic: bool
) -> Atoms:
    types = np.asarray(row[MIXED]).astype(int) if MIXED in row else types
    there = types >= 0
    if there.any() and types.max() >= len(symbols):
        raise TamisError(
            f"{folder}: an atom has the type {types.max()}; {SYMBOLS} has {len(symbols)}, from 0"
        )
    try:
        atoms = Atoms(
            symbols[types[there]].tolist(),
            positions=np.array(row["coord"], dtype=float).reshape(-1, 3)[there],
            cell=np.array(row["box"], dtype=float).reshape(3, 3) if periodic else None,
            pbc=periodic,
        )
    except KeyError as error:
        raise TamisError(f"{folder}: {error} in {SYMBOLS} is no chemical symbol; write one a line") from None
    for name, values in row.items():
        if name == "force":
            atoms.arrays[NAMES[name]] = np.array(values, dtype=float).reshape(-1, 3)[there]
        elif name not in GEOMETRY:
            atoms.info[NAMES.get(name, name)] = values.item() if values.size == 1 else np.array(values)
    return atoms
