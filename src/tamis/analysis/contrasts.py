"""Differences between arms as effect sizes with intervals, and the correction for asking many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes a second to import

Array = NDArray[np.float64]

LEVEL = 0.95
FEWEST_SEEDS, FEWEST_BLOCKS = 3, 2.0
"""With fewer seeds, or fewer effective test blocks, nothing is concluded."""


@dataclass(frozen=True)
class Effect:
    """A mean log ratio of errors; negative: the first has the smaller errors.

    estimate: log ratio. error: its standard error, NaN where it cannot be had. freedom: degrees of freedom of the
    error. n_seeds: seeds that all arms of the comparison have. n_blocks: effective test blocks.
    """

    estimate: float
    error: float
    freedom: float
    n_seeds: int
    n_blocks: float

    @property
    def p(self) -> float:
        """Two-sided, uncorrected."""
        if self.error == 0.0:  # no spread at all
            return float(self.estimate == 0.0)
        return 2.0 * float(stdtr(self.freedom, -abs(self.estimate) / self.error))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Ends of the interval of the log ratio."""
        half = self.error * float(stdtrit(self.freedom, 0.5 + level / 2))
        return self.estimate - half, self.estimate + half

    @property
    def ratio(self) -> float:
        """Ratio of errors (geometric mean)."""
        return float(np.exp(self.estimate))

    def ratio_interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Ends of the interval of the ratio."""
        low, high = self.interval(level)
        return float(np.exp(low)), float(np.exp(high))

    @property
    def enough(self) -> bool:
        """Whether there are seeds and test blocks enough to conclude anything."""
        return self.n_seeds >= FEWEST_SEEDS and self.n_blocks >= FEWEST_BLOCKS and np.isfinite(self.error)


def contrast(values: Array, weights: Array, seed_counts: Array, n_blocks: float) -> Effect:
    """Weighted sum of arms, paired by seed: every seed that has all arms of the comparison counts.

    Parameters
    ----------
    values : (A, R, B), see ``resampling.cells``; draw 0 is the data as they are.
    weights : (A,), summing to zero. seed_counts : (B, R), how often each seed occurs in each draw.
    n_blocks : effective number of test blocks.

    The interval is estimate ± t s with the standard deviation s of the draws, widened by sqrt(n / (n - 1)), and n - 1
    degrees of freedom, n being the smaller of seeds and blocks: percentiles of so few units would be too narrow.
    """
    used = np.flatnonzero(weights)
    differences = np.tensordot(weights[used], values[used], axes=1)  # (R, B); NaN where an arm has no curve
    have = np.isfinite(differences).all(axis=1)
    n_seeds = int(have.sum())
    if n_seeds == 0:
        return Effect(np.nan, np.nan, np.nan, 0, n_blocks)
    counts = seed_counts[:, have].T
    totals = counts.sum(axis=0)
    draws = np.einsum("rb,rb->b", counts, differences[have])[totals > 0] / totals[totals > 0]
    estimate, n = float(draws[0]), min(n_seeds, n_blocks)
    if n <= 1.0 or len(draws) < 3:
        return Effect(estimate, np.nan, np.nan, n_seeds, n_blocks)
    error = float(np.std(draws[1:])) * np.sqrt(n / (n - 1.0))
    return Effect(estimate, error, n - 1.0, n_seeds, n_blocks)


def own_against_others(own: int, others: Sequence[int], n_arms: int) -> Array:
    """Weights of: the own descriptor, less the mean of the others."""
    weights = np.zeros(n_arms)
    weights[own] = 1.0
    weights[list(others)] -= 1.0 / len(others)
    return weights


def mean_effect(estimates: Sequence[float]) -> Effect:
    """The mean of independent estimates (one an element), with a t interval: the elements are the units."""
    values = np.asarray(estimates, dtype=np.float64)
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    if n < 2:
        return Effect(mean, np.nan, np.nan, n, np.nan)
    return Effect(mean, float(values.std(ddof=1) / np.sqrt(n)), n - 1.0, n, np.nan)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p values (S. Holm, Scand. J. Stat. 6, 65 (1979)); NaN, for no answer, counts as 1."""
    corrected, largest = [np.nan] * len(p_values), 0.0
    for i, k in enumerate(sorted(range(len(p_values)), key=lambda k: (np.isnan(p_values[k]), p_values[k]))):
        if not np.isnan(p_values[k]):
            largest = max(largest, min(1.0, (len(p_values) - i) * p_values[k]))
            corrected[k] = largest
    return corrected
