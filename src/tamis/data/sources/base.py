"""What every source of data promises: a checked Dataset."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, chemical_symbols

from tamis.core.errors import TamisError
from tamis.core.metrics import LATTICE_CONSTANT, MD, PROPERTIES, measured_property
from tamis.data.checks import Tolerances, check_dataset
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset
from tamis.data.plausibility import UNTYPED, Factors, set_isolated_apart
from tamis.data.sources.spacing import FAR_OFF, spacing_of

LOG = logging.getLogger(__name__)

REFERENCES = (PROPERTIES, MD)
"""Beginnings of the names of metrics that may have a reference."""


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Where labelled structures come from. Subclasses are frozen dataclasses built from one YAML.

    elements : chemical symbols that may occur; kept sorted. None: those that occur.
    atom_spacing : cube root of the ground-state crystal's volume per atom, Å; configs scale cutoffs by it. None: what
        ``tamis.data.sources.spacing`` finds in the data.
    drop : ids of structures to leave out.
    crystal : whose properties are measured; None: none are.
    reference : metric name -> reference value in the metric's unit; None in place of one: unknown.
    reference_source : where these are from.
    """

    elements: tuple[str, ...] | None = field(
        default=None, compare=False
    )  # what is read does not depend on these two
    atom_spacing: float | None = field(default=None, compare=False)
    drop: tuple[str, ...] = ()
    crystal: Crystal | None = field(
        default=None, compare=False
    )  # the structures do not depend on these three
    reference: Mapping[str, float | None] | None = field(default=None, compare=False)
    reference_source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "drop", tuple(self.drop))
        if self.elements is not None:
            given: object = self.elements
            if isinstance(given, str):  # elements=Cu, which would be C and u
                raise TamisError(
                    f"dataset.elements is {given}; a list of chemical symbols is needed, such as [Si]"
                )
            object.__setattr__(self, "elements", tuple(sorted(set(self.elements))))
            if not self.elements or any(atomic_numbers.get(symbol, 0) == 0 for symbol in self.elements):
                raise TamisError(
                    f"dataset.elements is {list(self.elements)}; a list of chemical symbols is needed, such as [Si]"
                )
        if self.atom_spacing is not None and not (np.isfinite(self.atom_spacing) and self.atom_spacing > 0.0):
            raise TamisError(f"dataset.atom_spacing is {self.atom_spacing}; a length in Å above 0 is needed")

        for name, value in (self.reference or {}).items():
            _check_reference(name, value)
        if self.crystal is not None and self.crystal.element not in (self.elements or [self.crystal.element]):
            raise TamisError(
                f"dataset.crystal.element is {self.crystal.element}; the data set has "
                f"{', '.join(self.elements or ())}"
            )

    @abstractmethod
    def _read(self) -> Dataset:
        """The structures as they are, unchecked."""

    @abstractmethod
    def _files(self) -> Sequence[Path]:
        """What ``_read`` reads."""

    def _with_test(self, dataset: Dataset) -> Dataset:
        """``dataset``, without what was dropped, with its test structures chosen where the files do not say."""
        return dataset

    @property
    def typed_factors(self) -> Factors:
        """What units that a user typed have multiplied energies, forces and stresses with."""
        return UNTYPED

    @property
    def tolerances(self) -> Tolerances:
        """Where the checks refuse."""
        return Tolerances()

    @final
    def load(self) -> Dataset:
        """The data set, without what the user dropped, checked.

        The trials of a sweep, which run in one process, share what the first of them has read.

        Raises
        ------
        TamisError : files that cannot be read, or structures that fail ``tamis.data.checks.check_dataset``.
        """
        return _checked(self, self.elements, self.atom_spacing, self._stamps())

    @final
    def elements_of_data(self) -> tuple[str, ...]:
        """Chemical symbols that occur, sorted; what is no element is left to the checks."""
        structures = _as_read(self, self._stamps()).structures
        found = {int(number) for atoms in structures for number in np.unique(atoms.numbers)}
        return tuple(sorted(chemical_symbols[z] for z in found if 0 < z < len(chemical_symbols)))

    @final
    def spacing_of_data(self) -> float:
        """What ``atom_spacing`` is by the rule of ``tamis.data.sources.spacing``, Å."""
        return spacing_of(_as_read(self, self._stamps()))

    def _stamps(self) -> Hashable:
        return tuple(_stamp(path) for path in self._files())

    def label_giver(self) -> Calculator | None:
        """The calculator that made the labels, the exact answer for properties and MD; None where there is none."""
        return None

    @property
    def references(self) -> dict[str, float]:
        """What is known of ``reference``."""
        return {name: value for name, value in (self.reference or {}).items() if value is not None}

    @property
    def label_giver_name(self) -> str:
        """What the numbers of the label-giver depend on: the key of what is computed of it once; "": not kept."""
        return ""

    @property
    def cache_folder(self) -> Path | None:
        """Where the source keeps what it downloaded or made; None: nowhere."""
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


@lru_cache(maxsize=2)
def _as_read(source: Source, stamps: Hashable) -> Dataset:
    """Unchecked."""
    return source._with_test(without(source._read(), source.drop))


@lru_cache(maxsize=2)
def _checked(
    source: Source, elements: tuple[str, ...] | None, atom_spacing: float | None, stamps: Hashable
) -> Dataset:
    dataset = _as_read(source, stamps)
    for note in dataset.notes:
        LOG.info("%s", note)
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
    """Says so where the given spacing is far from the data's: every default cutoff would be as far off; else ""."""
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
    """Name, size and time of the last change (ns) of a file, which other contents do not share."""
    try:
        found = path.stat()
    except OSError:  # not made yet
        return str(path.absolute()), 0, 0
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def without(dataset: Dataset, drop: tuple[str, ...]) -> Dataset:
    """``dataset`` without the structures whose ids are in ``drop``; what goes is logged."""
    refuse_unknown_ids(drop, dataset.ids)
    if drop:
        LOG.warning("dropped %d structure(s) on request: %s", len(set(drop)), ", ".join(sorted(set(drop))))
    return dataset.subset([i for i, name in enumerate(dataset.ids) if name not in drop])


def refuse_unknown_ids(drop: Sequence[str], ids: Sequence[str]) -> None:
    """Refuse to leave out what is not there: a number that is one off would leave the wrong structure in."""
    if unknown := sorted(set(drop) - set(ids)):
        raise TamisError(
            f"dataset.drop names {', '.join(unknown)}, which the data set does not have; ids look like "
            f"{', '.join(ids[:2])}, and the last is {ids[-1] if ids else 'none'}"
        )
