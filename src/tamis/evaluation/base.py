"""What the measurements of a potential share: what they are given, and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ase.calculators.calculator import Calculator

from tamis.bases.base import Basis
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset
from tamis.models.base import Potential
from tamis.store import Store


@dataclass(frozen=True, eq=False)
class Subject:
    """A fitted potential and all that it is measured against.

    pool: every structure that could have been kept: where thresholds come from, which must not move with the choice.
    kept: those that were. reference: metric name -> value, for the metrics that have one. label_giver: the exact
    answer, where the data set has one. folder: the trial's, for artifacts. seed: of velocities and the like.
    reference_source: where the references are from. label_giver_name: what its numbers depend on, for keys. cache:
    folder for what is computed of it once; None: not kept. own: the model's own basis, in whose space extrapolation is
    measured too; None: not measured.
    """

    potential: Potential
    pool: Dataset
    kept: Dataset
    crystal: Crystal | None
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
    """What was measured (flat metric name -> value, unit in the name) and what could not be (stage -> why)."""

    metrics: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def plus(self, other: Findings) -> Findings:
        """Both; what ``other`` says later counts."""
        return Findings(self.metrics | other.metrics, self.problems | other.problems)
