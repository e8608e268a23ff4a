"""The matrix of models and descriptors for what comes after the errors: properties, and stability in MD."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import (
    BASELINES,
    FAMILIES,
    MODELS,
    NO_DESCRIPTOR,
    PRIMARY_PRUNER,
    RANDOM,
    Curve,
    Ground,
    in_order,
)
from tamis.analysis.trials import Metrics
from tamis.report.context import file_name
from tamis.report.document import Picture
from tamis.report.heat import heat_map

Measured = tuple[Curve, Metrics]
STABLE = "md/stable_fraction"


def property_matrices(ground: Ground, measured: Sequence[Measured]) -> Iterator[Picture]:
    """Mean size of the properties' errors (those in percent) relative to random, one picture a budget."""

    def size(point: Metrics) -> float:
        errors = [
            abs(v) for n, v in point.items() if n.startswith("properties/") and n.endswith("_error_percent")
        ]
        return float(np.mean(errors)) if errors else np.nan

    for kept, some in _by_budget(measured):
        values, models, arms, own = _matrix(some, size)
        if RANDOM in arms:
            values = values / values[:, [arms.index(RANDOM)]]
            title = f"{ground.name}: property errors relative to random, {kept} % of atoms"
            name = file_name("matrix-properties", str(kept), ground.name)
            yield from _picture(name, title, values, models, arms, own, 1.0)


def stability_matrices(ground: Ground, measured: Sequence[Measured]) -> Iterator[Picture]:
    """Part of the MD steps that were survived, one picture a budget."""
    for kept, some in _by_budget(measured):
        values, models, arms, own = _matrix(some, lambda point: point.get(STABLE, np.nan))
        title = f"{ground.name}: survived part of MD, {kept} % of atoms"
        yield from _picture(
            file_name("matrix-stability", str(kept), ground.name), title, values, models, arms, own, None
        )


def _by_budget(measured: Sequence[Measured]) -> Iterator[tuple[int, list[Measured]]]:
    """Of the primary pruner and the baselines, by percent of the pool's atoms (to whole percents, as the tables)."""
    budgets: dict[int, list[Measured]] = {}
    for curve, point in measured:
        if curve.pruner == PRIMARY_PRUNER or curve.arm in BASELINES:
            budgets.setdefault(round(100 * point["kept/fraction_of_atoms"]), []).append((curve, point))
    yield from sorted(budgets.items())


def _matrix(
    measured: Sequence[Measured], value: Callable[[Metrics], float]
) -> tuple[NDArray[np.float64], list[str], list[str], NDArray[np.bool_]]:
    """Medians over splits (models, arms), the names of both, and which are the model's own."""
    models = in_order([curve.model for curve, _ in measured], MODELS)
    chosen = in_order([c.arm for c, _ in measured if c.descriptor != NO_DESCRIPTOR], FAMILIES)
    arms = [*chosen, *(arm for arm in BASELINES if any(c.arm == arm for c, _ in measured))]
    values = np.full((len(models), len(arms)), np.nan)
    own = np.zeros(values.shape, dtype=np.bool_)
    for i, model in enumerate(models):
        for j, arm in enumerate(arms):
            mine = [(c, p) for c, p in measured if (c.model, c.arm) == (model, arm)]
            numbers = [number for _, p in mine if np.isfinite(number := value(p))]
            values[i, j] = np.median(numbers) if numbers else np.nan
            own[i, j] = any(c.own for c, _ in mine)
    return values, models, arms, own


def _picture(
    name: str,
    title: str,
    values: NDArray[np.float64],
    models: list[str],
    arms: list[str],
    own: NDArray[np.bool_],
    centre: float | None,
) -> Iterator[Picture]:
    if np.isfinite(values).any() and len(arms) > 1:
        yield heat_map(
            name, title, values, models, arms, own, "model", "structures chosen with", centre=centre
        )
