"""Structures of an ASE database, with the key-value pairs and the data of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError


def read_database(path: Path, kind: str) -> Iterator[Atoms]:
    """The rows in the order of their numbers.

    Key-value pairs and data stand among the keys of a structure: data with one entry an atom among its columns. Data
    under the name of a result of the row's calculator that say something else are called ``data.<name>``.

    Raises
    ------
    TamisError : a compressed database; ASE, which opens databases by their names, would take it for a damaged one.
    """
    import ase.db
    from ase.io.formats import get_compression

    plain, packed = get_compression(str(path))
    if packed is not None:
        raise TamisError(f"{path} is a compressed database, which is not read; unpack it and name {plain}")

    known = path.suffix in (".db", ".json", ".aselmdb")
    with ase.db.connect(path, "extract_from_name" if known else kind, serial=True) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            for name, value in dict(row.data).items():
                _add(atoms, str(name), value)
            yield atoms


def _add(atoms: Atoms, name: str, value: Any) -> None:
    results = {} if atoms.calc is None else atoms.calc.results
    if name in results or name in atoms.info or name in atoms.arrays:
        present = results.get(name, atoms.info.get(name, atoms.arrays.get(name)))
        if np.array_equal(np.ravel(present), np.ravel(value)):
            return
        name = f"data.{name}"
    shape = np.shape(value) if isinstance(value, np.ndarray | list) else ()
    columns = len(shape) > 1 or (len(shape) == 1 and len(atoms) > 1)
    if columns and shape[0] == len(atoms) and np.asarray(value).dtype.kind in "fiubU":
        atoms.set_array(name, np.asarray(value))
    else:
        atoms.info[name] = value
