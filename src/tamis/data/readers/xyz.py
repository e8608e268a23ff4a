"""Plain and extended XYZ: what programs write as a rule is read here, and the rest by ASE, frame by frame.

ASE would look for each of a billion atoms that a header announces, take the digits that are left of a cut number for a
whole one, stop at an empty line, and take ten times as long.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from tamis.core.errors import TamisError
from tamis.data.readers.columns import Words, columns, reals
from tamis.data.readers.reader import Results

PLAIN = "species:S:1:pos:R:3"
"""Columns of a frame that does not tell them."""
NAMES = {"species": "symbols", "pos": "positions", "Z": "numbers", "charge": "charges"}
"""ASE's names of columns."""
LEFT_TO_ASE = {"numbers", "positions", "symbols", "initial_charges", "move_mask"}
"""Columns under these names mean something else than their values."""
TENSORS = ("Lattice", "virial", "stress")
"""Keys of nine numbers, column by column."""
SCALARS = ("energy", "free_energy", "magmom")
"""Results that ASE keeps as the file has them; others are arrays of float64."""
PAIR = re.compile(r"""([^\s="'{}\[\]\\]+)(?:=(?:"([^"\\]+)"|([^\s="'{}\[\]\\]+)))?(?:\s+|$)""")
"""``key``, ``key=value`` or ``key="a value"``, without escaped characters."""
WHOLE = r"[+-]?\d{1,18}"
REAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?"
WHOLES = re.compile(rf"\s*{WHOLE}(?:[\s,]+{WHOLE})*\s*", re.ASCII)
REALS = re.compile(rf"\s*{REAL}(?:[\s,]+{REAL})*\s*", re.ASCII)
TRUTH = {word: word[0] in "Tt" for word in ("T", "F", "true", "false", "True", "False", "TRUE", "FALSE")}


def read_xyz(path: Path, extended: bool = True) -> Iterator[Atoms]:
    """The structures of an XYZ file, in order.

    Raises
    ------
    TamisError : the file is cut, or lines stand behind an empty one.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "r") as file:
        number = 0
        try:
            for number, block in enumerate(blocks(iter(file))):
                atoms = usual_frame(block) if extended and not block.vectors else None
                yield _by_ase(block, "extxyz" if extended else "xyz") if atoms is None else atoms
                number += 1
        except CutError as cut:
            raise TamisError(
                f"{path}, frame {number} or later, cannot be read ({cut}); is the file truncated? correct it"
            ) from None


class CutError(Exception):
    """A file that does not hold whole frames, one behind the other."""


@dataclass(frozen=True)
class Block:
    """The lines of one frame: the number of atoms, the comment, a row an atom, and cell vectors behind them."""

    first: str
    comment: str
    rows: list[str]
    vectors: list[str]


def blocks(lines: Iterator[str]) -> Iterator[Block]:
    """The frames of a file, unread.

    Raises
    ------
    CutError : a frame that is not whole; ValueError : a line where a number of atoms should be.
    """
    first = next(lines, "")
    while first:
        if not first.strip():
            if any(line.strip() for line in lines):
                raise CutError("more lines stand behind an empty one: take it out")
            return
        n_atoms = int(first)
        if n_atoms < 0:
            raise ValueError(f"a frame of {n_atoms} atoms")
        body = list(islice(lines, min(n_atoms + 1, sys.maxsize)))
        if len(body) <= n_atoms:
            raise CutError(f"it says {n_atoms} atoms, and {len(body)} lines follow")
        if not body[-1].endswith("\n"):
            raise CutError("it does not end with a whole line; if it is complete, end it with a newline")
        vectors, behind = [], next(lines, "")
        while behind.lstrip().startswith("VEC"):
            vectors.append(behind)
            behind = next(lines, "")
        yield Block(first, body[0], body[1:], vectors)
        first = behind


def _by_ase(block: Block, file_format: str) -> Atoms:
    from ase.io import iread
    from ase.io.extxyz import key_val_str_to_dict

    text = "".join([block.first, block.comment, *block.rows, *block.vectors])
    (atoms,) = iread(StringIO(text), index=":", format=file_format)
    if file_format == "extxyz":
        found = key_val_str_to_dict(block.comment)
        results = {} if atoms.calc is None else atoms.calc.results
        atoms.calc = Results(results, *_order(found, found.get("Properties", PLAIN)))
    return atoms


def _order(keys: Iterable[str], properties: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of keys and columns in the order of the file."""
    return _shared(tuple(keys)), _shared(tuple(str(properties).split(":")[::3]))


@lru_cache(maxsize=100)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """One object for equal names, since all frames of a large file have them."""
    return names


def usual_frame(block: Block) -> Atoms | None:
    """The structure as ASE reads it; None: the frame has something that is left to ASE, or is wrong."""
    info = usual_values(block.comment.strip())
    if info is None or not block.rows:
        return None
    order = _order(info, info.get("Properties", PLAIN))
    layout = layout_of(info.pop("Properties", PLAIN))
    if layout is None:
        return None
    try:
        words = columns([row.split() for row in block.rows], sum(n for _, _, n in layout))
        arrays = _arrays(layout, words)
        symbols = arrays.pop("symbols", None)
        numbers = arrays.pop("numbers", None)
        if numbers is None:
            numbers = np.array(_atomic_numbers(symbols))
        lattice = info.pop("Lattice", None)
        atoms = Atoms(
            numbers=numbers,
            positions=arrays.pop("positions"),
            cell=None if lattice is None else lattice.T,
            pbc=info.pop("pbc", lattice is not None),
            info=info,
        )
        atoms.calc = Results(_results(atoms, arrays), *order)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return None  # ASE says what is wrong
    return atoms


def usual_values(comment: str) -> dict[str, Any] | None:
    """Keys and values of a comment line, as ASE reads them; None: some are left to ASE."""
    found: dict[str, Any] = {}
    place = 0
    while place < len(comment):
        pair = PAIR.match(comment, place)
        if pair is None:
            return None
        key, quoted, plain = pair.groups()
        value = _value(key, "T" if quoted is None and plain is None else quoted or plain)
        if value is None:
            return None
        found[key] = value
        place = pair.end()
    return found


def _value(key: str, text: str) -> Any:
    """Numbers, truth values or the text; None: left to ASE."""
    if key in TENSORS:
        if not REALS.fullmatch(text) or len(words := text.replace(",", " ").split()) != 9:
            return None
        kind = int if WHOLES.fullmatch(text) else float
        return np.array(list(map(kind, words))).reshape(3, 3, order="F")
    if key.lower() == "uid" or text.startswith("_JSON "):
        return None
    words = text.replace(",", " ").split()
    if WHOLES.fullmatch(text):
        return np.array(list(map(int, words))) if len(words) > 1 else np.int64(words[0])
    if REALS.fullmatch(text):
        return np.array(list(map(float, words))) if len(words) > 1 else np.float64(words[0])
    if all(word in TRUTH for word in words):
        return TRUTH[words[0]] if len(words) == 1 else [TRUTH[word] for word in words] or None
    return None if all(map(_is_number, words)) else text


def _is_number(word: str) -> bool:
    """Whether Python takes a word for a number, such as nan or 1_000."""
    try:
        float(word)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=100)
def layout_of(properties: Any) -> tuple[tuple[str, str, int], ...] | None:
    """ASE's name, letter and number of columns of each property; None: left to ASE."""
    fields = str(properties).split(":")
    names, letters, counts = fields[::3], fields[1::3], fields[2::3]
    if len(fields) % 3 or len(set(names)) < len(names) or not set(letters) <= set("RISL"):
        return None
    if not all(re.fullmatch(r"[1-9]\d?", count) for count in counts) or LEFT_TO_ASE & set(names):
        return None
    layout = tuple(
        (NAMES.get(name, name), letter, int(count))
        for name, letter, count in zip(names, letters, counts, strict=True)
    )
    kinds = {name: (letter, count) for name, letter, count in layout}
    has_elements = kinds.get("symbols") == ("S", 1) or kinds.get("numbers") == ("I", 1)
    return layout if has_elements and kinds.get("positions") == ("R", 3) else None


def _arrays(layout: tuple[tuple[str, str, int], ...], words: list[Words]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    place = 0
    for name, letter, n in layout:
        some = words[place : place + n]
        place += n
        if name == "symbols":
            found[name] = some[0]
        elif letter == "R":
            found[name] = np.ascontiguousarray(reals(some))
        elif letter == "I":
            found[name] = np.array([list(map(int, one)) for one in some], dtype="i").T
        elif letter == "L":
            truth = [[word in ("T", "True") for word in one] for one in some]
            found[name] = np.array(truth, dtype=bool).T
        else:
            found[name] = np.array(some, dtype=object).T
        if n == 1 and name != "symbols":
            found[name] = found[name].ravel()
    return found


def _atomic_numbers(symbols: Words) -> list[int]:
    known = {symbol: atomic_numbers[symbol.capitalize()] for symbol in set(symbols)}
    return [known[symbol] for symbol in symbols]


def _results(atoms: Atoms, arrays: dict[str, Any]) -> dict[str, Any]:
    """Columns and keys with the names of results, as ASE has them; other columns become arrays of ``atoms``."""
    from ase.calculators.calculator import all_properties
    from ase.io.extxyz import per_config_properties

    results: dict[str, Any] = {}
    for name, values in arrays.items():
        if name in all_properties:
            results[name] = values
        else:
            atoms.new_array(name, values)
    for name in [name for name in atoms.info if name in per_config_properties]:
        results[name] = atoms.info.pop(name)
    if "stress" in results:
        results["stress"] = results["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    for name in results.keys() - set(SCALARS):
        results[name] = np.asarray(results[name], dtype=float)
    return results
