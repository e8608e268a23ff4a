"""The folder of a fitted potential: its family's own files, and what a LAMMPS input includes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tamis.core.elements import types_of_elements
from tamis.models.base import Potential


def write_potential(potential: Potential, elements: Sequence[str], folder: Path) -> list[Path]:
    """The potential's files, and ``in.potential`` with the lines for LAMMPS; returns their paths.

    Parameters
    ----------
    elements : chemical symbols in the order of LAMMPS' atom types, which ``in.potential`` tells in any case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = potential.write(folder)
    lines = potential.lammps(Path())
    head = "include this in a LAMMPS input that runs in this folder; metal units"
    if not lines:
        head = "LAMMPS itself has no pair style in metal units for these files"
    text = [f"# {head}", f"# {types_of_elements(elements)}", *(lines or ())]
    path = folder / "in.potential"
    path.write_text("\n".join(text) + "\n")
    return [*written, path]
