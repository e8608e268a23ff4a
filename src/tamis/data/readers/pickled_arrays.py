"""Arrays, tables and structures in what a pickle says of them; nothing of numpy, pandas or ase is unpickled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tamis.core.errors import TamisError
from tamis.core.trust import Recorded

BUILTINS = ("builtins", "__builtin__")
PACKAGES = ("numpy", "pandas", "ase", "pyarrow", *BUILTINS, "_codecs")
"""Whose objects may occur."""
BYTES = (
    "_codecs.encode",
    "pyarrow.py_buffer",
    *(f"{module}.{kind}" for module in BUILTINS for kind in ("bytes", "bytearray")),
)
"""Calls that give bytes."""
NUMBERS = re.compile(r"[<>=|]?[biufU]\d+")


def kind_of(value: Any) -> str:
    """``numpy.dtype`` for any class dtype of any module of numpy; empty for what is no object."""
    if isinstance(value, Recorded) or (isinstance(value, type) and issubclass(value, Recorded)):
        return f"{value.name.partition('.')[0]}.{value.name.rpartition('.')[2]}"
    return ""


def plain(value: Any) -> Any:
    """``value`` with arrays and structures in the place of what was recorded of them.

    Raises
    ------
    TamisError : an object of another kind.
    """
    kind = kind_of(value)
    if kind == "pandas.NA":
        return None
    if kind in _BUILT and isinstance(value, Recorded):
        return _BUILT[kind](value)
    if kind:
        raise TamisError(f"it holds a {value.name}, which is no number, text, array or structure")
    if isinstance(value, list | tuple):
        return type(value)(plain(one) for one in value)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if not kind_of(key)}
    return value


def _dtype(value: Any) -> np.dtype[Any]:
    if kind_of(value) != "numpy.dtype":
        raise TamisError("an array has no type of numbers")
    name, order = str(value.args[0]), value.state[1] if value.state else "|"
    if name in ("O8", "O", "|O"):
        return np.dtype(object)
    if not NUMBERS.fullmatch(name):
        raise TamisError(f"an array is of the type {name[:20]}; numbers and texts are read")
    return np.dtype(f"{order if order in ('<', '>') else ''}{name.lstrip('<>=|')}")


def _filled(dtype: np.dtype[Any], shape: Any, fortran: bool, data: Any) -> np.ndarray:
    """An array of the numbers in the bytes ``data``, or of the objects in the list ``data``."""
    shape = tuple(int(n) for n in shape)
    if dtype.kind == "O":
        flat = np.empty(len(data), dtype=object)
        for i, one in enumerate(data):
            flat[i] = plain(one)
    else:
        data = _bytes(data)
        if math.prod(shape) * dtype.itemsize != len(data):
            raise TamisError(f"an array of the shape {shape} has {len(data)} bytes")
        flat = np.frombuffer(data, dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _bytes(value: Any) -> bytes:
    if kind_of(value) in BYTES and isinstance(
        value, Recorded
    ):  # protocol 2 writes bytes as texts, and none as bytes()
        value = value.args[0] if value.args else b""
        return value.encode("latin1") if isinstance(value, str) else _bytes(value)
    if not isinstance(value, bytes | bytearray):
        raise TamisError(f"an array has {type(value).__name__} in place of its bytes")
    return bytes(value)


def _array(made: Recorded) -> np.ndarray:
    _, shape, dtype, fortran, data = made.state
    return _filled(_dtype(dtype), shape, fortran, data)


def _array_of_buffer(made: Recorded) -> np.ndarray:
    data, dtype, shape, order = made.args
    return _filled(_dtype(dtype), shape, order == "F", data)


def _scalar(made: Recorded) -> Any:
    return _filled(_dtype(made.args[0]), (), False, made.args[1])[()]


def _texts_of_arrow(made: Recorded) -> np.ndarray:
    """A column of texts of pandas 3: offsets and characters, and bits that say where a text is missing."""
    found: list[str | None] = []
    for kind, length, _, offset, buffers, _, _ in _pieces(made.state["_pa_array"]):
        wide = kind.args[0] == "large_string"
        ends = np.frombuffer(_bytes(buffers[1]), dtype="<i8" if wide else "<i4")[offset : offset + length + 1]
        text = _bytes(buffers[2]) if buffers[2] is not None else b""
        there = np.ones(length, dtype=bool)
        if buffers[0] is not None:
            bits = np.unpackbits(np.frombuffer(_bytes(buffers[0]), dtype="u1"), bitorder="little")
            there = bits[offset : offset + length].astype(bool)
        if len(ends) != length + 1 or len(there) != length:
            raise TamisError("a column of texts is cut")
        for i in range(length):
            found.append(text[ends[i] : ends[i + 1]].decode() if there[i] else None)
    return np.array(found, dtype=object)


def _pieces(array: Any) -> list[Any]:
    if kind_of(array) == "pyarrow.chunked_array":
        return [piece for chunk in array.args[0] for piece in _pieces(chunk)]
    if kind_of(array) != "pyarrow._restore_array":
        raise TamisError("a column of texts is none of pyarrow's")
    return [array.args[0]]


def _texts(made: Recorded) -> np.ndarray:
    """A column of texts in an array of objects; of the other arrays that pandas wraps, none is read."""
    if kind_of(made.args[0]) not in ("pandas.StringArray", "pandas.StringArrayNumpySemantics"):
        raise TamisError(
            f"it holds a {getattr(made.args[0], 'name', 'column')} of pandas; numbers and texts are read"
        )
    for one in made.state:
        if kind_of(one) in ("numpy._reconstruct", "numpy._frombuffer"):
            texts = plain(one).ravel()
            return np.array([text if isinstance(text, str) else None for text in texts], dtype=object)
    raise TamisError(f"it holds a {made.args[0].name} without an array")


def _cell(made: Recorded) -> np.ndarray:
    return np.asarray(plain(made.state["array"] if made.state else made.args[0]), dtype=float)


def _atoms(made: Recorded) -> Atoms:
    state = made.state
    arrays = plain(state["arrays"])
    atoms = Atoms(
        numbers=arrays.pop("numbers"),
        positions=arrays.pop("positions"),
        cell=plain(state.get("_cellobj", state.get("_cell"))),
        pbc=plain(state["_pbc"]),
        info=plain(state.get("info", {})),
    )
    for name, column in arrays.items():
        atoms.set_array(str(name), column)
    calculator = state.get("_calc")
    if kind_of(calculator).startswith("ase.") and isinstance(calculator.state, Mapping):
        results = {str(key): plain(value) for key, value in calculator.state.get("results", {}).items()}
        atoms.calc = SinglePointCalculator(atoms)
        atoms.calc.results = results
    return atoms


_BUILT = {
    "numpy._reconstruct": _array,
    "numpy._frombuffer": _array_of_buffer,
    "numpy.scalar": _scalar,
    "_codecs.encode": _bytes,
    "pandas.ArrowStringArray": _texts_of_arrow,
    "pandas.__pyx_unpickle_NDArrayBacked": _texts,
    "ase.Cell": _cell,
    "ase.Atoms": _atoms,
}


def columns_of(table: Recorded) -> dict[str, np.ndarray]:
    """The columns of a pandas.DataFrame, and its index as ``index`` where that has texts.

    Raises
    ------
    TamisError : the table is of a version of pandas that is not known, or damaged.
    """
    manager = table.state.get("_mgr", table.state.get("_data"))
    if manager.args:  # pandas 1.3 and later
        blocks = [(block.args[0], block.args[1]) for block in manager.args[0]]
        axes = manager.args[1]
    else:
        old = manager.state[3]["0.14.1"]
        blocks = [(block["values"], block["mgr_locs"]) for block in old["blocks"]]
        axes = old["axes"]
    names = [str(name) for name in _index(axes[0])]
    columns: dict[str, np.ndarray] = {}
    for values, places in blocks:
        rows = plain(values)
        for row, place in zip(rows if rows.ndim == 2 else [rows], _places(places), strict=True):
            columns[names[place]] = row
    if sorted(columns) != sorted(names):
        raise TamisError(f"columns are missing; it names {', '.join(names)}")
    if (labels := _index(axes[1])) is not None and "index" not in columns:
        columns["index"] = labels
    return columns


def _index(index: Recorded) -> Any:
    """Labels of a table's columns or rows; None: rows are numbered."""
    kind, content = index.args if kind_of(index) == "pandas._new_Index" else (None, {})
    labels = plain(content["data"]) if "data" in content and kind_of(kind) == "pandas.Index" else None
    return labels if labels is not None and all(isinstance(label, str) for label in labels) else None


def _places(places: Any) -> Iterable[int]:
    if kind_of(places) in ("builtins.slice", "__builtin__.slice"):
        return range(*places.args)
    if kind_of(places) == "pandas.BlockPlacement":
        return _places(places.args[0])
    return [int(i) for i in plain(places)]
