"""The primary endpoint: the area under log(test error) over log(atoms kept), as a linear functional of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]

FORCES, ENERGIES = "forces", "energies"
FIRST, LAST = 0.03, 0.5
"""Ends of the area, as parts of the pool's atoms, unless a protocol says otherwise."""
N_GRID = 65
"""Points of the common grid, evenly spaced in log(atoms)."""
TOLERANCE = 1.15
"""A curve with fewer points than most that begins or ends further than this factor inside their range is unfinished."""
MANY = 0.2
"""If more than this part of the curves were unfinished, the range is shortened for all instead."""


@dataclass(frozen=True)
class Range:
    """Atoms between which areas are taken. ``low == high`` marks curves of one point, compared as they are."""

    low: float
    high: float

    @property
    def is_point(self) -> bool:
        """Whether there is one budget, hence no area."""
        return self.low == self.high

    def covers(self, first: float, last: float) -> bool:
        """Whether this is from ``first`` to ``last`` atoms, to the tolerance with which structures fill a budget."""
        return self.low <= first * TOLERANCE and self.high >= last / TOLERANCE


def common_range(
    curves: Sequence[Array], n_pool_atoms: float, first: float = FIRST, last: float = LAST
) -> tuple[Range | None, NDArray[np.bool_]]:
    """The range that the curves share, and which of them cover it.

    Parameters
    ----------
    curves : atoms kept at the points of each curve, rising. n_pool_atoms : atoms of the whole pool.
    first, last : wanted ends, as parts of the pool's atoms.

    Returns
    -------
    The range within the wanted one, or None where the curves have nothing in common; and (n_curves,), False for
    curves that are left out of comparisons, since they are unfinished.
    """
    if not curves:
        return None, np.zeros(0, dtype=np.bool_)
    starts = np.array([curve[0] for curve in curves])
    ends = np.array([curve[-1] for curve in curves])
    if all(len(curve) == 1 for curve in curves):
        middle = float(np.median(starts))
        return Range(middle, middle), np.ones(len(curves), dtype=np.bool_)
    low = max(first * n_pool_atoms, float(np.median(starts)))
    high = min(last * n_pool_atoms, float(np.median(ends)))
    # One budget in structures is another number of atoms for each selection: a curve that has all its points is
    # never unfinished. It shortens the range for all, since leaving it out could take away a whole baseline.
    n_points = np.array([len(curve) for curve in curves])
    covers = (starts <= low * TOLERANCE) & (ends >= high / TOLERANCE) | (n_points >= np.median(n_points))
    if np.mean(~covers) > MANY:  # not a few unfinished curves: the study has another range
        covers = n_points > 1
    low = max(first * n_pool_atoms, float(starts[covers].max()))
    high = min(last * n_pool_atoms, float(ends[covers].min()))
    return (Range(low, high) if low < high else None), covers


def interpolation(atoms: Array, grid: Array) -> Array:
    """The matrix (n_grid, n_points) that takes values at ``atoms`` to ``grid``, linear in log(atoms).

    Raises
    ------
    TamisError : the grid leaves the curve: extrapolated errors would be made up.
    """
    slack = 1e-9
    if grid[0] < atoms[0] * (1 - slack) or grid[-1] > atoms[-1] * (1 + slack):
        raise TamisError(
            f"a curve from {atoms[0]:.0f} to {atoms[-1]:.0f} atoms cannot be read from {grid[0]:.0f} to "
            f"{grid[-1]:.0f} atoms; shorten the range, or leave the curve out"
        )
    if len(atoms) == 1:
        return np.ones((len(grid), 1))
    x, at = np.log(atoms), np.log(grid)
    right = np.clip(np.searchsorted(x, at, side="right"), 1, len(x) - 1)
    share = np.clip((at - x[right - 1]) / (x[right] - x[right - 1]), 0.0, 1.0)
    matrix = np.zeros((len(grid), len(atoms)))
    rows = np.arange(len(grid))
    matrix[rows, right - 1] = 1.0 - share
    matrix[rows, right] += share
    return matrix


def grid_of(span: Range, n: int = N_GRID) -> Array:
    """The common grid, atoms."""
    return np.array([span.low]) if span.is_point else np.geomspace(span.low, span.high, n)


def area_weights(atoms: Array, span: Range) -> Array:
    """Weights (n_points,) with which log(error) at the points of a curve sums up to its mean over log(atoms).

    The mean is the area (trapezoid on the common grid) by the width of the range; differences of two are mean log
    ratios of errors. The weights sum to one.
    """
    if span.is_point:
        return np.full(len(atoms), 1.0 / len(atoms))
    trapezoid = np.ones(N_GRID)
    trapezoid[[0, -1]] = 0.5
    return (trapezoid / trapezoid.sum()) @ interpolation(atoms, grid_of(span))
