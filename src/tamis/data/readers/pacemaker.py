"""Tables of pacemaker: pickled pandas tables, or lists, of ASE's structures. Nothing is unpickled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tamis.core.errors import TamisError
from tamis.core.trust import recorded_data
from tamis.data.readers.packed import open_unpacked
from tamis.data.readers.pickled_arrays import PACKAGES, columns_of, kind_of, plain

STRUCTURES = "ase_atoms"
"""The column with the structures."""
WAY_OUT = (
    "tamis unpickles nothing, since a pickle may run any program; if you trust it, convert it where it was made: "
    "table = pandas.read_pickle(file, compression='gzip'); for each row set atoms = row.ase_atoms, "
    "atoms.info['energy'] = row.energy, atoms.arrays['forces'] = row.forces, and ase.io.write('set.extxyz', frames)"
)


def is_pickle(path: Path, head: bytes) -> bool:
    """A pickle of Python 3 or of protocol 2 begins with a byte 128 and the number of the protocol."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read_pacemaker(path: Path) -> Iterator[Atoms]:
    """The rows in order: numbers and texts of a row in ``info``, columns with one entry an atom in ``arrays``.

    A table that has ``energy_corrected`` and no ``energy`` gives it under both names.

    Raises
    ------
    TamisError : the pickle holds anything but numbers, texts, arrays, tables of pandas and structures of ASE, or is
        damaged.
    """
    with open_unpacked(path) as file:
        data = file.read()
    try:
        content = recorded_data(data, PACKAGES)
        if isinstance(content, list | tuple):
            yield from (plain(one) for one in _structures(content))
            return
        if kind_of(content) != "pandas.DataFrame":
            raise TamisError(f"it holds {kind_of(content) or type(content).__name__}, which is no table")
        columns = columns_of(content)
        if STRUCTURES not in columns:
            raise TamisError(f"it has no column {STRUCTURES}, but {', '.join(sorted(columns))}")
        others = {name: column for name, column in columns.items() if name != STRUCTURES}
        for i, atoms in enumerate(_structures(columns[STRUCTURES])):
            yield _with_labels(plain(atoms), {name: column[i] for name, column in others.items()})
    except TamisError as error:
        raise TamisError(f"{path} cannot be read as a table of pacemaker ({error}). {WAY_OUT}") from error


def _structures(entries: Any) -> Any:
    if not all(isinstance(one, Atoms) or kind_of(one) == "ase.Atoms" for one in entries):
        raise TamisError("some of its structures are none of ASE")
    return entries


def _with_labels(atoms: Atoms, row: Mapping[str, Any]) -> Atoms:
    """``atoms`` with the labels of its row in the table."""
    if "energy" not in row and "energy_corrected" in row and "energy" not in atoms.info:
        atoms.calc = SinglePointCalculator(atoms, energy=float(row["energy_corrected"]))
    for name, value in row.items():
        if value is None or (type(value) is float and math.isnan(value)):  # an empty cell among texts
            continue
        column = np.asarray(value)
        if column.ndim and len(column) == len(atoms) and column.dtype.kind in "fiubU":
            atoms.arrays.pop(name, None)
            atoms.set_array(name, column)
        else:
            atoms.info[name] = column.item() if column.ndim == 0 else column
    return atoms
