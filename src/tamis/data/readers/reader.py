"""What a reader of a file format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms

Units = Mapping[str, str]
"""Units as ``tamis.data.file_units.FileUnits`` takes them."""


@dataclass(frozen=True)
class Reader:
    """How the files of one format are read.

    name : of the format, as ``dataset.format`` has it. program : that writes such files, for messages.
    read : from a path (a file, or a folder where the format is one) to structures, in order. Labels stand in ``info``,
        ``arrays`` or the results of a calculator, under the names that the file gives them; where the format gives
        none, they are called energy, forces, stress (ASE's sign, Voigt or 3 x 3), virial and config_type. Numbers stay
        in the file's units, but for those of ``converts``.
    recognises : whether a path is of this format, from the path and the first bytes of its content, unpacked (nothing
        for a folder); None: only by its name in ``dataset.format``.
    units : of the numbers that ``read`` gives, if the user types none; {}: Å and eV.
    guess : finds them from the structures instead, and says how in a few words.
    converts : the format fixes its units, and ``read`` gives Å and eV; units cannot be typed.
    numbered : atoms come with numbers of kinds, from 0, in the column ``type``, and without elements, which the user
        names with ``dataset.species``.
    """

    name: str
    program: str
    read: Callable[[Path], Iterator[Atoms]]
    recognises: Callable[[Path, bytes], bool] | None = None
    units: Units = field(default_factory=dict)
    guess: Callable[[Sequence[Atoms]], tuple[Units, str]] | None = None
    converts: bool = False
    numbered: bool = False


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a calculator, which replace it: a calculator of ASE keeps a copy of its atoms.

    keys, columns : names in the file, in its order; empty: not known. They are for writing only.
    """

    results: Mapping[str, Any]
    keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
