"""The data-efficiency factor: how many times more atoms of a baseline give the same error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
