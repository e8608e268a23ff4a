"""Structures that a program has in memory, read as those of a file are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import Calculator

from tamis.data.file_units import FileUnits, typed_units
from tamis.data.readers.reader import Reader, StoredCalculator
from tamis.data.sources.drop import Drop
from tamis.data.sources.file import File
from tamis.data.sources.finding import Found
from tamis.data.sources.parts import OneFile

NAME = "structures"
"""In the place of a file's name: the ids are structures#0, structures#1, ..."""


@dataclass(frozen=True, kw_only=True)
class Given(File):
    """As ``File``, with structures in the place of the files of ``train``.

    given : the structures; labels stand in ``info``, ``arrays``, or the results of a calculator.
    """

    given: tuple[Atoms, ...] = field(compare=False)
    _one_reading: object = field(default_factory=object, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, given: Sequence[Atoms], like: File) -> Given:
        """The structures as they are now, read with the settings of ``like``."""
        settings = {one.name: getattr(like, one.name) for one in fields(like) if one.init}
        return cls(**settings, given=tuple(map(_as_it_is, given)))

    def _found(self) -> tuple[Found, Found]:
        return Found(()), Found(())

    def _opened(self, found: Sequence[Found], drop: Drop) -> tuple[Sequence[OneFile], Sequence[OneFile]]:
        reader = Reader("ase.Atoms", "ASE", lambda path: iter(self.given))
        frames = [(f"{NAME}#{i}", atoms) for i, atoms in enumerate(self.given)]
        typed = typed_units(self.units)
        how = "as typed, or ASE's" if typed else "of ASE"
        return [OneFile(Path(NAME), reader, frames, FileUnits.of(typed), how)], []

    def _files(self) -> list[Path]:
        return []

    def _stamps(self) -> Hashable:
        return self._one_reading  # structures in memory have no time of the last change


def _as_it_is(atoms: Atoms) -> Atoms:
    """A copy with the results that a calculator has for these positions; nothing is computed."""
    copy = atoms.copy()
    calculator = atoms.calc
    # one calculator may serve many structures, and has the results of the last
    if calculator is not None and not (isinstance(calculator, Calculator) and calculator.check_state(atoms)):
        copy.calc = StoredCalculator(dict(calculator.results))
    return copy
