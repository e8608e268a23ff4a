"""Parquet files of the ColabFit Exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from tamis.core.errors import MissingEngineError, TamisError

GEOMETRY = ("atomic_numbers", "positions", "cell", "pbc")
FORCES = "atomic_forces"
LEAST = {*GEOMETRY, "energy", FORCES}
"""Columns by which such a file is recognised."""
ROWS_AT_ONCE = 1000


def is_colabfit(path: Path, head: bytes) -> bool:
    """A Parquet file with the columns of ColabFit."""
    if not head.startswith(b"PAR1"):
        return False
    parquet = _parquet()
    try:
        return set(parquet.read_schema(path).names) >= LEAST
    except Exception:  # a damaged file; who looks at it next says that it is Parquet
        return False


def read_colabfit(path: Path) -> Iterator[Atoms]:
    """The rows in order: forces a column, all other entries that a row has in ``info``, under their names.

    Raises
    ------
    TamisError : a row without positions, atomic numbers or cell.
    """
    with _parquet().ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield _structure(row)


def _structure(row: Mapping[str, Any]) -> Atoms:
    if missing := [name for name in GEOMETRY if row.get(name) is None]:
        raise TamisError(
            f"a row has no {', '.join(missing)}; ColabFit's rows have {', '.join(sorted(LEAST))}"
        )
    numbers, positions, cell, pbc = (row[name] for name in GEOMETRY)
    atoms = Atoms(numbers, positions=positions, cell=cell, pbc=pbc)
    for name, value in row.items():
        if name in GEOMETRY or value is None or value == []:
            continue
        if name == FORCES:
            atoms.set_array(name, np.array(value, dtype=float).reshape(len(atoms), 3))
        elif isinstance(value, list) and all(isinstance(text, str) for text in value):
            atoms.info[name] = " ".join(value)
        else:
            atoms.info[name] = np.array(value) if isinstance(value, list) else value
    return atoms


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingEngineError(
            f"a Parquet file is read by pyarrow: pip install pyarrow ({error})"
        ) from error
    return pyarrow.parquet
