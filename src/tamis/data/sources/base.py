"""The base class of all sources of data, which give a checked Dataset."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Symbols, Texts
from tamis.core.messages import listed
from tamis.core.metrics import LATTICE_CONSTANT, MD, PROPERTIES, measured_property
from tamis.data.checks import Tolerances, check_dataset
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset
from tamis.data.dealing import test_in_words
from tamis.data.plausibility import UNTYPED, Factors, set_isolated_apart
from tamis.data.sources.drop import Drop
from tamis.data.sources.spacing import FAR_OFF, spacing_of
from tamis.data.unit_cell import AnyCrystal, own_crystal, read_crystal

LOG = logging.getLogger(__name__)

OWN = "own"
"""For ``crystal``: that of the data set."""
REFERENCES = (PROPERTIES, MD)
"""Beginnings of the names of metrics that may have a reference."""


@dataclass(frozen=True, kw_only=True)
class Source(Checked, ABC):
    """A source of labelled structures. Subclasses are frozen dataclasses built from one YAML.

    elements : chemical symbols that may occur; kept sorted. None: those that occur.
    atom_spacing : cube root of the ground-state crystal's volume per atom, Å; configs scale cutoffs by it. None:
        measured on the data by ``tamis.data.sources.spacing``.
    drop : ids of structures to leave out, groups (``group:liquid``) and files (``file:old.xyz``).
    crystal : the crystal whose properties are measured; a file of any format that ASE reads, or "own": the one that the
        data set has most of, see ``tamis.data.unit_cell``; None: none are.
    reference : metric name -> reference value in the metric's unit; None in place of one: unknown.
    reference_source : the origin of these values.
    transfer : name -> file of further structures, on which each potential is measured too; they are never fitted.
    """

    # fields that do not change the structures are not compared
    elements: Annotated[tuple[str, ...] | None, Symbols()] = field(default=None, compare=False)
    atom_spacing: Annotated[float | None, Above(0, "Å")] = field(default=None, compare=False)
    drop: Annotated[tuple[str, ...], Texts()] = ()
    crystal: Crystal | str | None = field(default=None, compare=False)
    reference: Mapping[str, float | None] | None = field(default=None, compare=False)
    reference_source: str = field(default="", compare=False)
    transfer: Mapping[str, str] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (self.reference or {}).items():
            _check_reference(name, value)
        for name in self.transfer or {}:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise TamisError(
                    f"dataset.transfer has {name!r}; a name of letters, digits, _ and - is needed: metrics are called "
                    "by it"
                )
        if isinstance(self.crystal, Crystal) and self.crystal.element not in (
            self.elements or [self.crystal.element]
        ):
            raise TamisError(
                f"dataset.crystal.element is {self.crystal.element}; the data set has "
                f"{', '.join(self.elements or ())}"
            )

    @abstractmethod
    def _read(self) -> Dataset:
        """The unchecked structures, without those of ``drop``."""

    @abstractmethod
    def _files(self) -> Sequence[Path]:
        """The files that ``_read`` reads."""

    def with_test(self, dataset: Dataset) -> Dataset:
        """``dataset`` with its test structures chosen, for sources whose files do not name them."""
        return dataset

    @property
    def typed_factors(self) -> Factors:
        """Factors by which units that a user typed have multiplied energies, forces and stresses."""
        return UNTYPED

    @property
    def tolerances(self) -> Tolerances:
        """Limits of the checks."""
        return Tolerances()

    @final
    def load(self) -> Dataset:
        """The checked data set, without the structures that the user dropped.

        Trials of a sweep that run in one process read and check it once.

        Raises
        ------
        TamisError : files that cannot be read, or structures that fail ``tamis.data.checks.check_dataset``.
        """
        return _checked(self, self.elements, self.atom_spacing, self._stamps())

    @final
    def elements_of_data(self) -> tuple[str, ...]:
        """Chemical symbols that occur, sorted; the checks refuse numbers that are no element."""
        structures = _as_read(self, self._stamps()).structures
        found = {int(number) for atoms in structures for number in np.unique(atoms.numbers)}
        return tuple(sorted(chemical_symbols[z] for z in found if 0 < z < len(chemical_symbols)))

    @final
    def spacing_of_data(self) -> float:
        """``atom_spacing`` by the rule of ``tamis.data.sources.spacing``, Å."""
        return spacing_of(_as_read(self, self._stamps()))

    def _stamps(self) -> Hashable:
        return tuple(_stamp(path) for path in self._files())

    @final
    def crystal_in(self, dataset: Dataset) -> tuple[AnyCrystal | None, str]:
        """The crystal whose properties are measured, and a line on it where it was read or found.

        ``own`` is looked for among the structures of ``dataset``.

        Raises
        ------
        TamisError : its file cannot be read, there is none, or it has elements that the data set lacks.
        """
        if not isinstance(self.crystal, str):
            return self.crystal, ""
        if self.crystal == OWN:
            crystal, whose = own_crystal(dataset)
        else:
            crystal, whose = read_crystal(Path(self.crystal)), self.crystal
        if foreign := sorted(set(crystal.elements) - set(dataset.elements)):
            raise TamisError(
                f"dataset.crystal={self.crystal} has {', '.join(foreign)}; the data set has "
                f"{', '.join(dataset.elements)}"
            )
        kind = f"{crystal.structure} {crystal.element}" if isinstance(crystal, Crystal) else crystal.structure
        return (
            crystal,
            f"crystal: {kind}, {len(crystal.primitive())} atom(s) in the primitive cell, from {whose}",
        )

    def label_giver(self) -> Calculator | None:
        """The calculator that made the labels, which is exact for properties and MD; None: not available."""
        return None

    @property
    def references(self) -> dict[str, float]:
        """The values of ``reference`` that are known."""
        return {name: value for name, value in (self.reference or {}).items() if value is not None}

    @property
    def label_giver_name(self) -> str:
        """The label-giver and its version, as the key of results that are computed once; "": results are not kept."""
        return ""

    @property
    def cache_folder(self) -> Path | None:
        """The folder for files that the source downloads or makes; None: there are none."""
        return None


def _check_reference(name: str, value: Any) -> None:
    if not name.startswith(REFERENCES):
        raise TamisError(
            f"dataset.reference has {name}; names of metrics are needed, such as {measured_property(LATTICE_CONSTANT)}"
        )
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise TamisError(f"dataset.reference has {name}: {value!r}; a number in the metric's unit is needed")


@lru_cache(maxsize=8)  # the sets of one trial: its own and the transfer sets
def _as_read(source: Source, stamps: Hashable) -> Dataset:
    """The structures before the checks."""
    return source.with_test(source._read())


@lru_cache(maxsize=8)
def _checked(
    source: Source, elements: tuple[str, ...] | None, atom_spacing: float | None, stamps: Hashable
) -> Dataset:
    dataset = _as_read(source, stamps)
    for note in dataset.notes:
        LOG.warning("%s", note)
    LOG.info("test set: %s", test_in_words(dataset.test_kind, int(dataset.is_test.sum()), len(dataset)))
    doubts = check_dataset(
        dataset, elements or source.elements_of_data(), source.tolerances, source.typed_factors
    )
    if atom_spacing is not None and (doubt := _spacing_doubt(dataset, atom_spacing)):
        LOG.warning("%s", doubt)
        doubts = (*doubts, doubt)
    checked = set_isolated_apart(dataset.with_notes(doubts))
    if checked.isolated is not None:
        LOG.warning("%s", checked.notes[-1])
    return checked


def _spacing_doubt(dataset: Dataset, given: float) -> str:
    """A sentence if the given spacing, by which default cutoffs scale, is far from the data's; else empty."""
    try:
        found = spacing_of(dataset)
    except TamisError:  # nothing to compare with
        return ""
    if 1.0 / FAR_OFF < given / found < FAR_OFF:
        return ""
    return (
        f"dataset.atom_spacing is {given:g} Å, and {found:g} Å in the data (cube root of the volume per atom): default "
        "cutoffs are multiples of it; correct it, or leave it out where it follows from the data"
    )


def _stamp(path: Path) -> tuple[str, int, int]:
    """Name, size and time of the last change (ns) of a file, which change with its content."""
    try:
        found = path.stat()
    except OSError:  # not made yet
        return str(path.absolute()), 0, 0
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def without(dataset: Dataset, drop: Sequence[str]) -> Dataset:
    """``dataset`` without the structures that ``drop`` names, which are logged."""
    wanted = Drop.of(drop)
    wanted.refuse_unknown(dataset.ids, dataset.groups)
    dropped = wanted.of_structures(dataset.ids, dataset.groups)
    if dropped.any():
        names = [dataset.ids[i] for i in np.flatnonzero(dropped)]
        LOG.warning("dropped %d structure(s) on request: %s", len(names), listed(names))
    return dataset.subset(np.flatnonzero(~dropped))
