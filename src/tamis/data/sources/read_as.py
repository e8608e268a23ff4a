"""One line on the keys, units and signs with which energy, forces and stress were read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tamis.core.messages import listed
from tamis.core.names import printable
from tamis.data.file_units import FileUnits
from tamis.data.sources.keys import Choice
from tamis.data.sources.labels import Frame, label

LOG = logging.getLogger(__name__)

PRINTED = {"angstrom": "Å", "ev": "eV", "mev": "meV", "gpa": "GPa", "mpa": "MPa", "pa": "Pa"}


def describe(files: Sequence[Path], frames: Sequence[Frame], chosen: Choice, units: FileUnits) -> str:
    """The line for ``frames``, which were read from ``files`` with the keys ``chosen``; it is logged, too."""
    keys = chosen.keys
    parts = [
        f"energy from {keys.energy} ({printed(units.energy)}){_remark(chosen, 'energy')}",
        f"forces from {keys.forces} ({printed(str(units.forces))}){_remark(chosen, 'forces')}",
        _stress(frames, chosen, units),
    ]
    if units.factor("length") != 1.0:
        parts.append(f"positions and cell in {printed(units.length)}")
    for what, key in (("group", keys.group), ("block", keys.block)):
        if key:
            named = sum(label(frame.source, key) is not None for frame in frames)
            parts.append(f"{what} from {key}{_of(named, frames)}")
    if flat := [frame.name for frame in frames if (frame.atoms.pbc != frame.source.pbc).any()]:
        parts.append(
            "not periodic along cell vectors of length zero, though the file says so or leaves it open "
            f"({listed(flat, 1)})"
        )
    names = [printable(str(path)) for path in files]
    line = f"{listed(names, 3, 'more files')}: {len(frames)} structures read; {'; '.join(parts)}"
    LOG.info("%s", line)
    return line


def _stress(frames: Sequence[Frame], chosen: Choice, units: FileUnits) -> str:
    keys = chosen.keys
    labels = [frame for frame in frames if np.isfinite(frame.stress).all()]
    by_key = sum(bool(keys.stress) and label(frame.source, str(keys.stress)) is not None for frame in labels)
    ways = []
    if by_key:
        sign = "positive under pressure" if units.factor("stress") < 0.0 else "positive in tension"
        name = printed(units.name("stress"))
        ways.append(f"from {keys.stress} ({name}, {sign}){_of(by_key, frames)}")
    if len(labels) > by_key:
        sign = "plus" if units.factor("virial") < 0.0 else "minus"
        name = printed(units.name("virial"))
        ways.append(
            f"from {keys.virial} ({name}, {sign} stress times volume){_of(len(labels) - by_key, frames)}"
        )
    return f"stress {' and '.join(ways) or 'of no structure'}{_remark(chosen, 'stress')}"


def _of(count: int, frames: Sequence[Frame]) -> str:
    return "" if count == len(frames) else f" in {count} of them"


def _remark(chosen: Choice, what: str) -> str:
    return f" [{chosen.remarks[what]}]" if what in chosen.remarks else ""


def printed(unit: str) -> str:
    """A unit in its usual spelling."""
    words = []
    for word in unit.split("/"):
        power = "³" if word.endswith("3") else ""
        name = word.removesuffix("3")
        words.append(PRINTED.get(name, name) + power)
    return "/".join(words)
