"""What models that tune their settings in every fit have in common: the grid, and the structures that judge it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, NamedTuple

from tamis.core.fields import AtLeast, Checked, OneOf, Whole
from tamis.data.dataset import Dataset
from tamis.models.base import Model
from tamis.models.grids import Axis, Choice, Point
from tamis.models.judging import Judges
from tamis.models.normal_equations import Weights

KEPT, POOL_VALIDATION = "kept", "pool_validation"
"""Folds of the kept structures; a labelled set of its own, taken from the pool."""
FIX, FIT = "fix", "fit"
"""Free atoms: as isolated atoms in the data set have them; as they fit best."""
ENERGY_WEIGHTS, STRESS_WEIGHTS = (1e-2, 1e4), (1e-3, 1e3)
"""1/Å, limits of a grid that widens: beyond them, one kind of label decides alone."""
RIDGES = (1e-14, 1.0)
"""The same for ridges on scaled columns: below, rounding decides; above, little but the ridge does."""


class Setting(NamedTuple):
    """One point of a grid: weights of the loss (1/Å), and the ridge in the model's own unit."""

    energy_weight: float
    stress_weight: float
    ridge: float

    @property
    def weights(self) -> Weights:
        """The weights of the loss."""
        return Weights(self.energy_weight, self.stress_weight)

    @property
    def report(self) -> dict[str, float]:
        """For a potential's diagnostics."""
        return {
            "energy_weight_per_A": self.energy_weight,
            "stress_weight_per_A": self.stress_weight,
            "ridge": self.ridge,
        }


@dataclass(frozen=True, kw_only=True)
class TunedModel(Checked, Model):
    """A model that chooses among the settings of a grid in every fit.

    widenings: rounds, at most, in which a fit adds a value beyond an edge that was chosen (see ``grids``).
    tuning: "kept" chooses by folds of the kept structures; "pool_validation" by a labelled set taken from the pool.
    n_folds: folds of the kept structures, dealt out by group; fewer where there are few structures.
    free_atoms: "fix": free atoms have the energies of isolated atoms in the data set, for elements that have one there;
        "fit": those that fit the kept structures best.
    """

    widenings: Annotated[int, Whole(0)]
    tuning: Annotated[str, OneOf(KEPT, POOL_VALIDATION)]
    n_folds: Annotated[int, Whole(2)]
    free_atoms: Annotated[str, OneOf(FIX, FIT)] = FIT

    @property
    @abstractmethod
    def axes(self) -> tuple[Axis, ...]:
        """The parameters of the grid, each with the values to try."""

    @property
    def grid(self) -> tuple[Point, ...]:
        """Every point that a fit tries before the grid widens, for any subset; the last axis varies fastest."""
        return tuple(product(*(axis.values for axis in self.axes)))

    @property
    def needs_tuning_set(self) -> bool:
        """True for ``tuning: pool_validation``."""
        return self.tuning == POOL_VALIDATION

    def free_energies_of(self, kept: Dataset) -> Mapping[str, float]:
        """Energies of free atoms, eV, that this model takes as they are, by element."""
        return kept.free_energies if self.free_atoms == FIX else {}

    def tuning_report(
        self, choice: Choice | None, judges: Judges, kept: Dataset, tuning: Dataset
    ) -> Mapping[str, float]:
        """How the setting was chosen, for a potential's diagnostics; ``choice`` is None where nothing could choose."""
        how = {"settings_tried": 1.0} if choice is None else choice.report
        n_structures = len(tuning if self.needs_tuning_set else kept)
        n_fixed = len(set(self.elements) & set(self.free_energies_of(kept)))
        fixed = {"fixed_free_atoms": float(n_fixed)} if n_fixed else {}
        return {"structures_tuned_on": float(n_structures), **judges.report, **how, **fixed}


@dataclass(frozen=True, kw_only=True)
class WeightedModel(TunedModel):
    """A tuned model whose loss weighs energies and stresses against forces, with a ridge (see ``normal_equations``).

    energy_weights, stress_weights: values to try, 1/Å, relative to forces.
    ridges: values to try, in the model's own unit.
    """

    energy_weights: Annotated[tuple[float, ...], AtLeast(0.0, "1/Å")]
    stress_weights: Annotated[tuple[float, ...], AtLeast(0.0, "1/Å")]
    ridges: Annotated[tuple[float, ...], AtLeast(0.0)]

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """Energy weights, stress weights, ridges."""
        return (
            Axis.of(self.energy_weights, *ENERGY_WEIGHTS),
            Axis.of(self.stress_weights, *STRESS_WEIGHTS),
            Axis.of(self.ridges, *RIDGES),
        )

    @property
    def most_cautious(self) -> Setting:
        """The first setting with the largest ridge, for fits with nothing to choose by."""
        return max((Setting(*point) for point in self.grid), key=lambda setting: setting.ridge)
