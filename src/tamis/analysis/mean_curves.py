"""Mean learning curves of each arm on a common grid, and data-efficiency factors.

The factor says how many times more atoms of a baseline give the same error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # Student's t, inverse; scipy.stats takes a second to import

from tamis.analysis.contrasts import FEWEST_SEEDS, LEVEL
from tamis.analysis.endpoint import Range, grid_of, interpolation
from tamis.analysis.resampling import Curves, draw_counts, functional, mean_of_draws

Array = NDArray[np.float64]

N_DRAWS = 200
N_GRID = 25


@dataclass(frozen=True, eq=False)
class MeanCurves:
    """grid: (G,), atoms; empty where the curves share no range. means: (A, G, B), mean log error in draws of splits and
    test blocks, draw 0 the data as they are. half: (A, G), half the 95 % interval of the mean over splits on these test
    structures; NaN with too few splits.
    """

    grid: Array
    means: Array
    half: Array


def mean_curves(atoms: Sequence[Array], data: Curves) -> MeanCurves:
    """Between the sizes that all curves have; ``atoms``: those of each curve's points."""
    low, high = max(curve[0] for curve in atoms), min(curve[-1] for curve in atoms)
    if low >= high:
        return MeanCurves(np.zeros(0), np.zeros((data.n_arms, 0, 1)), np.zeros((data.n_arms, 0)))
    grid = grid_of(Range(low, high), N_GRID)
    matrices = np.zeros((len(atoms), N_GRID, data.errors.shape[1]))
    for k, curve in enumerate(atoms):
        matrices[k, :, : len(curve)] = interpolation(curve, grid)
    rng = np.random.default_rng(2)
    logs = functional(data, matrices, draw_counts(int(data.blocks.max()) + 1, N_DRAWS, rng))
    seeds = draw_counts(data.n_seeds, N_DRAWS, rng).T  # (R, B)
    means = np.zeros((data.n_arms, N_GRID, 1 + N_DRAWS))
    half = np.full((data.n_arms, N_GRID), np.nan)
    for a in range(data.n_arms):
        mine = np.flatnonzero(data.arms == a)
        by_seed = mean_of_draws(logs[mine], np.zeros_like(mine), data.seeds[mine], (1, data.n_seeds))[0]
        have = np.isfinite(by_seed[:, 0, 0])
        counts, n = seeds[have], int(have.sum())
        counts = np.where(
            counts.sum(axis=0) > 0, counts, 1.0
        )  # a draw without any of the arm's: take them all
        means[a] = np.einsum("rb,rgb->gb", counts, by_seed[have]) / counts.sum(axis=0)
        if n >= FEWEST_SEEDS:
            spread = by_seed[have, :, 0].std(axis=0, ddof=1) / np.sqrt(n)
            half[a] = spread * stdtrit(n - 1, 0.5 + LEVEL / 2)
    return MeanCurves(grid, means, half)


@dataclass(frozen=True)
class Factor:
    """atoms: where it was taken. value: the factor. low, high: percentiles 2.5 and 97.5 of the draws.

    beyond: the baseline reaches the error nowhere on its curve (``more``), or has it already at its first point
    (``less``): then the value is a bound. Empty: neither. reach: smallest and largest factor that the baseline's curve
    can show; an end of the interval that is there is a bound, too.
    """

    atoms: float
    value: float
    low: float
    high: float
    beyond: str
    reach: tuple[float, float]


def factor(grid: Array, arm: Array, baseline: Array, at: float) -> Factor:
    """The factor at ``at`` atoms.

    Parameters
    ----------
    grid : (G,), atoms, rising. arm, baseline : (G, B), mean log errors; draw 0 is the data as they are.

    The baseline's curve is taken as its lowest value so far: more data is never counted as worse.
    """
    x, where = np.log(grid), np.log(at)
    falling = np.minimum.accumulate(baseline, axis=0)
    levels = np.array([np.interp(where, x, column) for column in arm.T])
    logs = np.array([_crossing(x, column, level) for column, level in zip(falling.T, levels, strict=True)])
    values = np.exp(logs - where)
    low, high = np.percentile(values[1:], [2.5, 97.5]) if len(values) > 2 else (np.nan, np.nan)
    beyond = "more" if levels[0] < falling[-1, 0] else "less" if levels[0] > falling[0, 0] else ""
    reach = (float(grid[0] / at), float(grid[-1] / at))
    return Factor(at, float(values[0]), float(low), float(high), beyond, reach)


def _crossing(x: Array, falling: Array, level: float) -> float:
    """The place where the falling curve reaches ``level``; its end if it never does."""
    below = np.flatnonzero(falling <= level)
    if len(below) == 0:
        return float(x[-1])
    i = int(below[0])
    if i == 0:
        return float(x[0])
    share = (falling[i - 1] - level) / (falling[i - 1] - falling[i])
    return float(x[i - 1] + share * (x[i] - x[i - 1]))
