"""The question of tamis as a matrix: each model on sets chosen with each descriptor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES, FAMILIES, MODELS, NO_DESCRIPTOR, RANDOM, Ground, Point, in_order
from tamis.analysis.averages import AVERAGE, geometric_mean, size_words
from tamis.core.metrics import FORCE_MAE, TEST, error

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
    """A matrix and its title, for each budget and ground at which several models had several descriptors' sets."""
    budgets: dict[tuple[Ground, str], list[Point]] = {}
    for point in points:
        budgets.setdefault((point.ground, point.budget), []).append(point)
    several = len({ground for ground, _ in budgets}) > 1
    by_size = sorted(budgets.items(), key=lambda item: geometric_mean(p.atoms for p in item[1]))
    for (ground, _), some in by_size:
        matrix = Matrix.of(ratios(some))
        if len(matrix.rows) > 1 and len(matrix.columns) > 1:
            about = f"{size_words(p.atoms for p in some)} kept", ground.name * several, _averaged(some)
            yield matrix, ", ".join(filter(None, about))


def _averaged(points: Sequence[Point]) -> str:
    """Over what the ratios of a matrix are averaged."""
    seeds = {p.seeds[:2] for p in points}
    pruners = sorted({p.pruner for p in points if p.descriptor != NO_DESCRIPTOR})
    over = [f"{len(seeds)} seeds"] * (len(seeds) > 1) + [f"pruners {', '.join(pruners)}"] * (len(pruners) > 1)
    return f"{AVERAGE} over {' and '.join(over)}" if over else ""


def ratios(points: Sequence[Point]) -> dict[tuple[str, str], tuple[float, bool]]:
    """(model, descriptor) -> error relative to a random choice with the same seeds, and whether it is the own one.

    The mean over seeds is geometric. Pruners that were run with one descriptor are averaged too: a matrix of one
    pruner is clearest.
    """
    measured = [p for p in points if METRIC in p.metrics]
    baseline = {(p.model, *p.seeds[:2]): p.metrics[METRIC] for p in measured if p.pruner == RANDOM}
    cells: dict[tuple[str, str, bool], list[float]] = {}
    for p in measured:
        random = baseline.get((p.model, *p.seeds[:2]))
        if p.descriptor != NO_DESCRIPTOR and random is not None:
            cells.setdefault((p.model, p.descriptor, p.own), []).append(p.metrics[METRIC] / random)
    return {(m, d): (geometric_mean(values), own) for (m, d, own), values in cells.items()}
