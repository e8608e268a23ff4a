"""Lines on the reader, keys, units and signs with which energy, forces and stress were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.core.messages import listed
from tamis.core.names import printable
from tamis.data.file_units import FileUnits
from tamis.data.sources.keys import Choice
from tamis.data.sources.labels import Frame, label

PRINTED = {"angstrom": "Å", "ev": "eV", "mev": "meV", "gpa": "GPa", "mpa": "MPa", "pa": "Pa"}


@dataclass(frozen=True, eq=False)
class Alike:
    """Structures that were read in the same way.

    files : their names. reader : of all of them. how : their units were found, in a few words.
    """

    files: Sequence[str]
    reader: str
    frames: Sequence[Frame]
    chosen: Choice
    units: FileUnits
    how: str


def describe(parts: Sequence[Alike]) -> list[str]:
    """A line for each way in which files were read."""
    merged: dict[tuple[object, ...], list[Alike]] = {}
    for part in parts:
        key = (part.reader, part.chosen.keys, tuple(part.chosen.remarks.items()), part.units, part.how)
        merged.setdefault(key, []).append(part)
    return [
        _line(
            Alike(
                [name for part in alike for name in part.files],
                alike[0].reader,
                [frame for part in alike for frame in part.frames],
                *(alike[0].chosen, alike[0].units, alike[0].how),
            )
        )
        for alike in merged.values()
    ]


def _line(part: Alike) -> str:
    keys, units = part.chosen.keys, part.units
    parts = [
        f"energy from {keys.energy} ({printed(units.energy)}){_remark(part.chosen, 'energy')}",
        _forces(part),
        _stress(part.frames, part.chosen, units),
        f"positions and cell in {printed(units.length)}",
        f"units {part.how}",
    ]
    frames = part.frames
    if flat := [frame.name for frame in frames if (frame.atoms.pbc != frame.source.pbc).any()]:
        parts.append(
            "not periodic along cell vectors of length zero, though the file says so or leaves it open "
            f"({listed(flat, 1)})"
        )
    names = listed([printable(name) for name in part.files], 3, "more files")
    return f"{names}: {len(frames)} structures read as {part.reader}; {'; '.join(parts)}"


def _forces(part: Alike) -> str:
    key, frames = part.chosen.keys.forces, part.frames
    labelled = sum(bool(key) and label(frame.source, str(key)) is not None for frame in frames)
    if not labelled:
        return "forces of no structure"
    return f"forces from {key} ({printed(str(part.units.forces))}){_of(labelled, frames)}"


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
