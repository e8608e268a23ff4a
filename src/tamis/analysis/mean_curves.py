"""Mean learning curves of each arm on a common grid, for figures and data-efficiency factors."""

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
