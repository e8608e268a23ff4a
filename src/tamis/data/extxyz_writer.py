"""Structures as extended XYZ, with every key, every column and every digit of the files that they came from."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from tamis.data.dataset import Dataset
from tamis.data.readers.reader import Results

LOG = logging.getLogger(__name__)

COLUMN_NAMES = {"charges": "charge"}
"""Columns that ASE reads under another name than it writes."""
TAKEN = ("numbers", "positions", "species", "pos", "Z", "charge")
"""Names with another meaning in a file than in ``Atoms.arrays``."""
TENSORS = ("stress", "virial")
SIMPLE = re.compile(r"[A-Za-z0-9_.+/#-]+")
"""Texts that need no quotes."""
EMPTY = r'"_JSON \"\""'
"""The empty text: after nothing between quotes ASE's reader takes the next key for a part of it."""
KINDS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S", "S": "S", "O": "S"}
"""Letter of a column's type by the kind of its array."""


def write_extxyz(path: Path, dataset: Dataset) -> None:
    """Write structures as they were in their file, or in tamis' own form if the source keeps none.

    From a user's file: every key and column under its own name and in its own unit, and ``tamis_id`` and
    ``tamis_group`` (or, where the file has these, ``tamis_id_2`` and so on), by which a structure is found again. In
    tamis' own form: energy, forces, stress if every component has a label, group, block and id. A warning names all
    that extended XYZ cannot hold.
    """
    lost: Counter[str] = Counter()
    suffix = free_suffix(dataset)
    with path.open("w", encoding="utf-8") as file:
        for i in range(len(dataset)):
            if dataset.frames:
                frame = dataset.frames[i]
                texts = {f"tamis_id{suffix}": dataset.ids[i], f"tamis_group{suffix}": dataset.groups[i]}
            else:
                frame = own_form(dataset, i)
                texts = {"group": dataset.groups[i], "block": dataset.blocks[i], "id": dataset.ids[i]}
            lost.update(write_frame(file, frame, texts))
    if lost:
        LOG.warning(
            "%s: extended XYZ cannot hold %s; the numbers of the files themselves are as they were",
            path,
            ", ".join(f"{name} (of {count} structures)" for name, count in sorted(lost.items())),
        )


def free_suffix(dataset: Dataset) -> str:
    """The suffix ("", "_2", "_3", ...) with which no frame has ``tamis_id`` and ``tamis_group`` yet."""
    names = {key for frame in dataset.frames for key in frame.info if str(key).startswith("tamis_")}
    suffixes = ("" if n == 1 else f"_{n}" for n in range(1, len(names) + 2))
    return next(s for s in suffixes if not {f"tamis_id{s}", f"tamis_group{s}"} & names)


def own_form(dataset: Dataset, i: int) -> Atoms:
    """Structure ``i`` with the labels that it has, in eV and Å."""
    atoms = dataset.structures[i]
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    labels = {"energy": dataset.energies[i]}
    if dataset.has_forces[i]:
        labels["forces"] = dataset.forces[i]
    if np.isfinite(dataset.stresses[i]).all():
        labels["stress"] = dataset.stresses[i]
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame


def write_frame(file: TextIO, frame: Atoms, texts: Mapping[str, str]) -> list[str]:
    """Append one frame, and ``texts`` as further keys; returns the names of what could not be written."""
    lost: list[str] = []
    columns: dict[str, NDArray[Any]] = {"species": np.array(frame.get_chemical_symbols(), dtype=str)}
    columns["pos"] = frame.positions
    arrays = {name: array for name, array in frame.arrays.items() if name not in ("numbers", "positions")}
    for name, array in [*arrays.items(), *_move_mask(frame), *_results(frame, of_atoms=True)]:
        column = _column(name, np.asarray(array), len(frame))
        written = COLUMN_NAMES.get(name, name)
        if column is None or written in columns:
            if not _same(columns.get(written), array):
                lost.append(name)
        else:
            columns[written] = column
    if _is_known(frame):
        order = ["species" if name == "Z" else name for name in frame.calc.columns]
        columns = {name: columns[name] for name in _in_order(columns, order)}
    keys: dict[str, str] = {}
    for name, value in [*frame.info.items(), *_results(frame, of_atoms=False)]:
        text = _value(name, value)
        if text is None or str(name) in ("Lattice", "Properties", "pbc") or str(name) in keys:
            if text is None or keys.get(str(name)) != text:
                lost.append(str(name))
        else:
            keys[str(name)] = text
    file.write(f"{len(frame)}\n{_comment(frame, columns, keys, texts)}\n")
    for row in zip(*(_cells(array) for array in columns.values()), strict=True):
        file.write(" ".join(row) + "\n")
    return lost


def _comment(
    frame: Atoms, columns: Mapping[str, NDArray[Any]], keys: Mapping[str, str], texts: Mapping[str, str]
) -> str:
    """The second line of a frame, in the order of the file that it came from; what is new stands at the end."""
    parts: dict[str, str] = {}
    if frame.cell.any():
        parts["Lattice"] = f'Lattice="{" ".join(map(repr, frame.cell.array.ravel().tolist()))}"'
    properties = ":".join(
        f"{name}:{KINDS[array.dtype.kind]}:{1 if array.ndim == 1 else array.shape[1]}"
        for name, array in columns.items()
    )
    parts["Properties"] = f"Properties={quoted(properties) if ' ' in properties else properties}"
    parts |= {name: f"{_key(name)}={text}" for name, text in keys.items()}
    parts |= {name: f"{name}={quoted(text)}" for name, text in texts.items()}
    parts["pbc"] = f'pbc="{" ".join("FT"[int(flag)] for flag in frame.pbc)}"'
    return " ".join(parts[name] for name in _in_order(parts, frame.calc.keys if _is_known(frame) else ()))


def _in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """The names of ``order`` first, and then the others as they come."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _is_known(frame: Atoms) -> bool:
    """Whether the order of keys and columns in the frame's file is known."""
    return isinstance(frame.calc, Results)


def _results(frame: Atoms, of_atoms: bool) -> Iterator[tuple[str, Any]]:
    """Labels that ASE keeps in a calculator, with one entry for each atom or not."""
    from ase.io.extxyz import per_atom_properties

    for name, value in ({} if frame.calc is None else frame.calc.results).items():
        if value is not None and (name in per_atom_properties) == of_atoms:
            yield name, value


def _move_mask(frame: Atoms) -> list[tuple[str, NDArray[np.bool_]]]:
    """Which atoms may move, where some may not (``move_mask``, as ASE writes it)."""
    from ase.constraints import FixAtoms, FixCartesian

    known = [c for c in frame.constraints if isinstance(c, FixAtoms | FixCartesian)]
    if not known:
        return []
    free = np.ones((len(frame), 3), dtype=bool)
    for constraint in known:
        free[constraint.index] &= False if isinstance(constraint, FixAtoms) else ~constraint.mask
    return [("move_mask", free if any(isinstance(c, FixCartesian) for c in known) else free[:, 0])]


def _column(name: str, array: NDArray[Any], n_atoms: int) -> NDArray[Any] | None:
    """``array`` with one row for each atom and at most two axes; None if extended XYZ cannot hold it."""
    wrong_name = name in TAKEN or not name or any(sign in name for sign in ':"\\\n')
    if wrong_name or array.ndim == 0 or len(array) != n_atoms or array.dtype.kind not in KINDS:
        return None
    if array.ndim > 2:
        array = array.reshape(n_atoms, -1)
    if array.ndim == 2 and array.shape[1] == 0:
        return None
    if KINDS[array.dtype.kind] == "S":
        array = array.astype(str)
        if any(len(word.split()) != 1 for word in array.ravel().tolist()):
            return None  # blanks separate columns
    return array


def _cells(array: NDArray[Any]) -> list[str]:
    """The text of each row of a column; floating-point numbers with every digit that they need."""
    if array.dtype.kind == "f":
        array = array.astype(float)
    if array.ndim == 1:
        return [_cell(value) for value in array.tolist()]
    return [" ".join(map(_cell, row)) for row in array.tolist()]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return repr(value) if isinstance(value, float) else str(value)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else quoted(name)


def quoted(text: str) -> str:
    """``text`` as extended XYZ has it, in quotes if necessary; line ends become blanks."""
    if SIMPLE.fullmatch(text):
        return text
    if not text:
        return EMPTY
    text = " ".join(text.splitlines())
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(name: Any, value: Any) -> str | None:
    """The text of a key's value; None if extended XYZ cannot hold it.

    Values that would be read as something else (a text of digits, an empty one, a nested list) become JSON, as in ASE.
    """
    from ase.io.extxyz import key_val_str_to_dict

    if not isinstance(name, str) or not name or "\n" in name:
        return None
    if name in TENSORS and (value := _full_tensor(value)) is None:
        return None
    if isinstance(value, str):
        text = quoted(value)
        found = key_val_str_to_dict(f"k={text}")["k"]
        return text if isinstance(found, str) and found == value else _json(value)
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic | int | float | bool) else None
    if array is None or array.dtype.kind not in "fiub" or array.size == 0:
        return _json(value)
    if name in TENSORS:
        array = array.ravel(order="F")
    if array.ndim > 1 or (array.ndim == 1 and array.size == 1):
        return _json(value)
    cells = " ".join(map(_cell, np.atleast_1d(array).tolist()))
    return cells if array.ndim == 0 else f'"{cells}"'


def _full_tensor(value: Any) -> NDArray[Any] | None:
    """A tensor of 6, 9 or 3 x 3 numbers as 3 x 3, the only form that readers accept for TENSORS."""
    array = np.asarray(value)
    if array.shape == (6,):  # xx yy zz yz xz xy
        array = array[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return array.reshape(3, 3) if array.size == 9 and array.dtype.kind in "fiu" else None


def _json(value: Any) -> str | None:
    """A nested value as ASE writes it, which ASE's reader restores."""
    try:
        return quoted("_JSON " + json.dumps(_plain(value)))
    except (TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    """Lists, mappings and numbers without numpy's types."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _same(column: NDArray[Any] | None, array: Any) -> bool:
    """Whether a second array of the same name has the same content."""
    return column is not None and np.shape(column) == np.shape(array) and bool(np.all(column == array))
