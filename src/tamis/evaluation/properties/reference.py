"""References of properties: listed by the data set, or computed with the label-giver by the same code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from ase.calculators.calculator import Calculator

from tamis.core.metrics import PROPERTIES
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.base import Subject
from tamis.evaluation.cached import CachedFile
from tamis.evaluation.properties.base import Measured, Property
from tamis.evaluation.properties.collect import measure_isolated

STAGE = "properties"
"""The stage's name, and its folder's."""
REVISION = 2
"""Goes up when the properties of the same calculator come out different."""
NUMBERS_DEPEND_ON = ("ase", "scipy", "phonopy")


@dataclass(frozen=True)
class PropertyReference:
    """values: name with unit -> reference; sources: name -> where it is from; data: the label-giver's curves."""

    values: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def reference_of(
    measured: Property, crystal: AnyCrystal, subject: Subject, limit_s: float
) -> tuple[PropertyReference, str]:
    """The label-giver's values, replaced by those that the data set lists; and what failed for the label-giver."""
    exact, problem = Measured(), ""
    if subject.label_giver is not None:
        exact, problem = _of_label_giver(measured, crystal, subject.label_giver, subject, limit_s)
    listed = {
        name.removeprefix(PROPERTIES): value
        for name, value in subject.reference.items()
        if name.startswith(PROPERTIES)
    }
    giver = f"the label-giver {subject.label_giver_name}, measured by the same code"
    sources = dict.fromkeys(exact.values, giver)
    sources |= dict.fromkeys(listed, subject.reference_source or "dataset.reference")
    return PropertyReference(exact.values | listed, sources, exact.data), problem


def _of_label_giver(
    measured: Property, crystal: AnyCrystal, label_giver: Calculator, subject: Subject, limit_s: float
) -> tuple[Measured, str]:
    kind, settings = type(measured).__name__, asdict(measured)  # type: ignore[call-overload]  # it is a dataclass
    versions = {name: version(name) for name in NUMBERS_DEPEND_ON}
    identity = [REVISION, subject.label_giver_name, asdict(crystal), kind, settings, versions]
    file = CachedFile(subject.cache if subject.label_giver_name else None, f"reference-{kind}", identity)
    if (content := file.read()) is not None:
        return Measured(**content), ""
    found, problem = measure_isolated({kind: measured}, crystal, label_giver, limit_s)[kind]
    if not problem:
        file.write(asdict(found))
    return found, problem
