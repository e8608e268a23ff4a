"""What the models' fits try, and by which structures they choose among it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from tamis.exceptions import TamisError
from tamis.models.normal_equations import Weights

KEPT, POOL_VALIDATION = "kept", "pool_validation"
"""Folds of the kept structures; a labelled set of its own, taken from the pool."""
TINY_SQUARE = 1e-12
"""Added to mean squares before the logarithm: errors below 1e-6 eV, eV/Å are as good as none."""


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


def check_tuning(tuning: str, n_folds: int) -> None:
    """Raise TamisError for another ``tuning`` than there is, and for fewer than two folds."""
    if tuning not in (KEPT, POOL_VALIDATION):
        raise TamisError(f"tuning is {tuning!r}; it must be {KEPT} or {POOL_VALIDATION}")
    if n_folds < 2:
        raise TamisError(f"n_folds is {n_folds}; it must be at least 2")
