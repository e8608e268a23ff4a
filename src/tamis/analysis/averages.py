"""The one average of errors over seeds, and when sets may be said to have as many atoms.

Terminal, figures, matrix and report average alike: geometric means, the means of logarithms that the statistics of
the comparison rest on. One spoiled seed moves them no more than its factor, and a mean of ratios is the ratio of means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tamis.analysis.arms import Point

AVERAGE = "geometric mean"
"""Its name, wherever numbers are averaged over seeds."""
ALIKE = 1.1
"""Ratio up to which numbers of atoms count as equal: a budget of atoms, too, leaves part of a structure unused."""


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean of logarithms of numbers from 0 on; NaN where there are none, or where one is NaN."""
    numbers = np.fromiter(values, dtype=np.float64)
    if len(numbers) == 0:
        return float("nan")
    with np.errstate(divide="ignore"):  # an error of zero makes the mean zero
        return float(np.exp(np.mean(np.log(numbers))))


def average(points: Sequence[Point], name: str) -> float:
    """Geometric mean of a metric over points; NaN where one has none."""
    return geometric_mean(point.metrics.get(name, np.nan) for point in points)


def alike(atoms: Iterable[float]) -> bool:
    """Whether sets with these numbers of atoms may be said to have as many atoms; one set, or none, may."""
    numbers = list(atoms)
    return not numbers or max(numbers) <= ALIKE * min(numbers)


def size_words(atoms: Iterable[float]) -> str:
    """``about 120 atoms`` where sets have as many, else ``100 to 215 atoms``."""
    numbers = list(atoms)
    if alike(numbers):
        return f"about {geometric_mean(numbers):.0f} atoms"
    return f"{min(numbers):.0f} to {max(numbers):.0f} atoms"
