"""The question of tamis as a matrix: each model on sets chosen with each descriptor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES, FAMILIES, MODELS, NO_DESCRIPTOR, RANDOM, in_order
from tamis.analysis.averages import AVERAGE, size_words
from tamis.analysis.points import Point, average
from tamis.core.metrics import FORCE_MAE, KEPT_ATOMS, TEST, error

METRIC = error(TEST, FORCE_MAE)


@dataclass(frozen=True, eq=False)
class Matrix:
    """rows, columns: names. values: (rows, columns), NaN where there is none. own: which belong to own descriptors."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.float64]
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, cells: Mapping[tuple[str, str], tuple[float, bool]]) -> Matrix:
        """From (model, arm) -> (value, own); descriptors stand before the baselines."""
        rows = in_order([row for row, _ in cells], MODELS)
        columns = in_order([arm for _, arm in cells if arm not in BASELINES], FAMILIES)
        columns += [arm for arm in BASELINES if any(arm == column for _, column in cells)]
        values = [[cells.get((row, column), (np.nan, False)) for column in columns] for row in rows]
        return cls(
            rows,
            columns,
            np.array([[value for value, _ in line] for line in values]).reshape(len(rows), len(columns)),
            np.array([[own for _, own in line] for line in values]).reshape(len(rows), len(columns)),
        )


def matrices(points: Sequence[Point]) -> Iterator[tuple[Matrix, str]]:
    """A matrix and its title, for each budget and setting at which several models had several descriptors' sets."""
    budgets: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        budgets.setdefault((point.setting, point.budget), []).append(point)
    for (setting, _), some in sorted(budgets.items(), key=lambda item: average(item[1], KEPT_ATOMS)):
        matrix = Matrix.of(ratios(some))
        if len(matrix.rows) > 1 and len(matrix.columns) > 1:
            kept = f"{size_words(p.metrics[KEPT_ATOMS] for p in some)} kept"
            yield matrix, ", ".join(part for part in (kept, setting, _averaged(some)) if part)


def _averaged(points: Sequence[Point]) -> str:
    """Over what the ratios of a matrix are averaged."""
    seeds = {(p.seed_split, p.seed_select) for p in points}
    pruners = sorted({p.pruner for p in points if p.descriptor != NO_DESCRIPTOR})
    over = [f"{len(seeds)} seeds"] * (len(seeds) > 1) + [f"pruners {', '.join(pruners)}"] * (len(pruners) > 1)
    return f"{AVERAGE} over {' and '.join(over)}" if over else ""


def ratios(points: Sequence[Point]) -> dict[tuple[str, str], tuple[float, bool]]:
    """(model, descriptor) -> error relative to a random choice with the same seeds, and whether it is the own one.

    The mean over seeds is geometric. Pruners that were run with one descriptor are averaged too: a matrix of one
    pruner is clearest.
    """
    baseline = {
        _key(p): np.log(p.metrics[METRIC]) for p in points if p.pruner == RANDOM and METRIC in p.metrics
    }
    logs: dict[tuple[str, str, bool], list[float]] = {}
    for p in points:
        if p.descriptor != NO_DESCRIPTOR and METRIC in p.metrics and _key(p) in baseline:
            key = (p.model, p.descriptor, p.own)
            logs.setdefault(key, []).append(np.log(p.metrics[METRIC]) - baseline[_key(p)])
    return {(m, d): (float(np.exp(np.mean(values))), own) for (m, d, own), values in logs.items()}


def _key(point: Point) -> tuple[str, int, int]:
    return point.model, point.seed_split, point.seed_select
