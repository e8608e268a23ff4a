"""Structures with their labels in other units than those of their file, for the kept set.

The kept set replaces the whole one: the command that read the whole set must read it right. It therefore has the units
that the user typed, or Å and eV, whatever the formats of the files have of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from tamis.data.file_units import FileUnits
from tamis.data.readers.reader import StoredCalculator
from tamis.data.sources.labels import Keys

OF_ASE = {"energy": "energy", "free_energy": "energy", "forces": "forces", "stress": "stress"}
"""Results of ASE's calculators, of which not all are read as labels."""


def converted(source: Atoms, keys: Keys, units: FileUnits, wanted: FileUnits) -> Atoms:
    """``source`` in other units: lengths, the labels under ``keys``, and ASE's results; itself where units are equal.

    Other keys and columns stay as they are: nobody said what they are.
    """
    if units == wanted:
        return source
    length = units.factor("length") / wanted.factor("length")
    found = source.copy()
    found.set_cell(source.cell.array * length)
    found.arrays["positions"] = source.arrays["positions"] * length
    found.calc = StoredCalculator(dict(source.calc.results)) if source.calc is not None else None
    kinds = OF_ASE | {getattr(keys, what): what for what in ("energy", "forces", "stress", "virial")}
    for place in (found.info, found.arrays, {} if found.calc is None else found.calc.results):
        for name in kinds.keys() & place.keys():
            factor = units.factor(kinds[name]) / wanted.factor(kinds[name])
            place[name] = _times(place[name], factor)
    return found


def _times(value: Any, factor: float) -> Any:
    return value if value is None else np.asarray(value, dtype=float)[()] * factor
