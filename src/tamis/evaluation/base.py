"""The input and the output of the measurements of a potential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ase.calculators.calculator import Calculator

from tamis.bases.base import Basis
from tamis.data.dataset import Dataset
from tamis.data.unit_cell import AnyCrystal
from tamis.models.base import Potential
from tamis.store import Store


@dataclass(frozen=True, eq=False)
class Subject:
    """A fitted potential and everything that it is compared with.

    pool: every structure that could have been kept; thresholds come from it, so that they do not depend on the choice.
    kept: the kept structures. reference: metric name -> value, for the metrics that have one. label_giver: the
    calculator that gave the labels, if there is one. folder: the trial's, for artifacts. seed: of velocities and the
    like. reference_source: origin of the references. label_giver_name: identifies its numbers, for keys. cache: folder
    for the label-giver's results; None: not kept. own: the model's own basis, in whose space extrapolation is measured
    too; None: not measured.
    """

    potential: Potential
    pool: Dataset
    kept: Dataset
    crystal: AnyCrystal | None
    reference: Mapping[str, float]
    label_giver: Calculator | None
    store: Store
    folder: Path
    seed: int
    reference_source: str = ""
    label_giver_name: str = ""
    cache: Path | None = None
    own: Basis | None = None


@dataclass(frozen=True)
class Findings:
    """Results of a measurement.

    metrics: flat name with unit -> value. problems: stage -> why something could not be measured.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def plus(self, other: Findings) -> Findings:
        """Both; ``other`` overrides."""
        return Findings(self.metrics | other.metrics, self.problems | other.problems)
