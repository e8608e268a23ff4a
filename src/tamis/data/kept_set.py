"""The kept structures as files: extended XYZ, and the format that came in where ASE writes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tamis.data.dataset import Dataset
from tamis.data.extxyz_writer import free_suffix, write_extxyz

NAME = "kept"
"""Name of the files, before the suffix."""


def write_kept(folder: Path, dataset: Dataset) -> None:
    """Write ``kept.extxyz``, and ``kept.db``, ``kept.json`` or ``kept.traj`` if all structures came from such files.

    These have every key, column and result of the user's own files, in their units, and ``tamis_id`` and
    ``tamis_group`` as extended XYZ has them.
    """
    write_extxyz(folder / f"{NAME}.extxyz", dataset)
    if dataset.frames and dataset.file_format in WRITERS:
        path = folder / f"{NAME}.{dataset.file_format}"
        scratch = folder / f".{NAME}.{os.getpid()}.{dataset.file_format}"
        try:
            WRITERS[dataset.file_format](scratch, dataset)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def _frames(dataset: Dataset) -> Iterator[tuple[Atoms, dict[str, str]]]:
    """Each structure as it was in its file, with a calculator as ASE's writers want it, and what tamis adds."""
    suffix = free_suffix(dataset)
    for frame, name, group in zip(dataset.frames, dataset.ids, dataset.groups, strict=True):
        atoms = frame.copy()
        if frame.calc is not None and frame.calc.results:
            atoms.calc = SinglePointCalculator(atoms)
            atoms.calc.results.update(frame.calc.results)
        yield atoms, {f"tamis_id{suffix}": name, f"tamis_group{suffix}": group}


def _write_trajectory(path: Path, dataset: Dataset) -> None:
    from ase.io import Trajectory

    with Trajectory(path, "w") as file:
        for atoms, added in _frames(dataset):
            atoms.info.update(added)
            file.write(atoms)


def _write_database(path: Path, dataset: Dataset) -> None:
    import ase.db

    with ase.db.connect(path, type="extract_from_name", serial=True, append=False) as database:
        for atoms, added in _frames(dataset):
            pairs, data = _pairs_and_data({**atoms.info, **_columns(atoms), **added})
            database.write(atoms, key_value_pairs=pairs, data=data)


def _columns(atoms: Atoms) -> Mapping[str, Any]:
    """Arrays and results that a row of a database has no place for."""
    from ase.calculators.calculator import all_properties

    own = ("numbers", "positions", "momenta", "tags", "initial_magmoms", "initial_charges", "masses")
    arrays = {name: array for name, array in atoms.arrays.items() if name not in own}
    results = {} if atoms.calc is None else atoms.calc.results
    return arrays | {name: value for name, value in results.items() if name not in all_properties}


def _pairs_and_data(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values that ASE takes as key-value pairs, and the others, without the prefix that reading gave to data."""
    from ase.db.core import check

    pairs: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in keys.items():
        plain = value.item() if isinstance(value, np.generic) else value
        try:
            check({name: plain})
        except ValueError:
            data[name.removeprefix("data.")] = value
        else:
            pairs[name] = plain
    return pairs, data


WRITERS: Mapping[str, Callable[[Path, Dataset], None]] = {
    "db": _write_database,
    "json": _write_database,
    "traj": _write_trajectory,
}
"""Writers by the name of the format."""
