"""What the models' fits try, and by which structures they choose among it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from tamis.core.errors import TamisError
from tamis.models.grids import Axis, Point
from tamis.models.normal_equations import Weights

KEPT, POOL_VALIDATION = "kept", "pool_validation"
"""Folds of the kept structures; a labelled set of its own, taken from the pool."""
ENERGY_WEIGHTS, STRESS_WEIGHTS = (1e-2, 1e4), (1e-3, 1e3)
"""1/Å, how far a grid may widen: beyond, one kind of label decides alone."""
RIDGES = (1e-14, 1.0)
"""The same for ridges on scaled columns: below, rounding decides; above, little but the ridge does."""


@dataclass(frozen=True)
class Setting:
    """One point of the grid that a fit tries: weights of the loss, and the ridge in the model's own unit."""

    weights: Weights
    ridge: float


def grid_of(
    energy_weights: Iterable[float], stress_weights: Iterable[float], ridges: Iterable[float]
) -> tuple[Setting, ...]:
    """Every combination; ridges vary fastest."""
    return tuple(
        Setting(Weights(energy, stress), ridge)
        for energy, stress, ridge in product(energy_weights, stress_weights, ridges)
    )


def axes_of(
    energy_weights: Sequence[float], stress_weights: Sequence[float], ridges: Sequence[float]
) -> tuple[Axis, Axis, Axis]:
    """The grid as axes that may widen."""
    return (
        Axis.of(energy_weights, *ENERGY_WEIGHTS),
        Axis.of(stress_weights, *STRESS_WEIGHTS),
        Axis.of(ridges, *RIDGES),
    )


def setting_at(point: Point) -> Setting:
    """The setting of a point of these axes."""
    energy, stress, ridge = point
    return Setting(Weights(energy, stress), ridge)


def check_tuning(tuning: str, n_folds: int, widenings: int) -> None:
    """Raise TamisError for another ``tuning`` than there is, fewer than two folds, less than no widening."""
    if tuning not in (KEPT, POOL_VALIDATION):
        raise TamisError(f"tuning is {tuning!r}; it must be {KEPT} or {POOL_VALIDATION}")
    if n_folds < 2:
        raise TamisError(f"n_folds is {n_folds}; it must be at least 2")
    if widenings < 0:
        raise TamisError(f"widenings is {widenings}; it must be at least 0, which leaves the grid as it is")
