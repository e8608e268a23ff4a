"""The smallest training set that is nearly as good as the whole pool: what measured curves say, and where to look next.

A curve holds ratios of validation errors, those of a kept set by those of the whole pool of the same split. A size is
within the limit if the geometric mean over splits of each ratio is. Curves are noisy, so that a small set may be lucky
and a larger one fail: the smallest size counts from which on *every* measured one is within.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr  # Student's t; scipy.stats takes a second to import

from tamis.core.metrics import KEPT_ATOMS

Array = NDArray[np.float64]

N_NEW = 3
"""Sizes that are tried in one round between two that are known."""
WHOLE = 1.0
"""The fraction that is the whole pool."""


@dataclass(frozen=True)
class Bracket:
    """low: the largest fraction that is not within, 0 where there is none. high: the next one, which is."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class RatioCurve:
    """One way of choosing.

    fractions: (F,), of the pool's atoms, as they were asked for,
    rising, below 1. ratios: (F, S, E), validation error by that of the whole pool, for S splits and E kinds of errors.
    structures, atoms: (F, S), what was kept. parts: (F, S), atoms by those of the split's pool.
    """

    fractions: Array
    ratios: Array
    structures: Array
    atoms: Array
    parts: Array

    @cached_property
    def means(self) -> Array:
        """Geometric means over splits, (F, E)."""
        return np.asarray(np.exp(np.log(self.ratios).mean(axis=1)))

    def bracket(self, limit: float) -> Bracket:
        """Where the larger of the mean ratios comes below ``limit`` for good."""
        return self._bracket(self.means.max(axis=1, initial=0.0) <= limit)

    def bracket_of_all(self, limit: float) -> Bracket:
        """The same with every split within by itself."""
        return self._bracket(self.ratios.max(axis=(1, 2), initial=0.0) <= limit)

    def by_split(self, limit: float) -> list[float]:
        """The smallest fraction that each split alone would have given, (S,)."""
        within = self.ratios.max(axis=2, initial=0.0) <= limit
        return [self._bracket(column).high for column in within.T]

    def _bracket(self, within: NDArray[np.bool_]) -> Bracket:
        failing = np.flatnonzero(~within)
        first = int(failing[-1]) + 1 if len(failing) else 0
        low = float(self.fractions[first - 1]) if first else 0.0
        return Bracket(low, float(self.fractions[first]) if first < len(self.fractions) else WHOLE)

    def at(self, fraction: float) -> int:
        """Number of a measured fraction."""
        return int(np.flatnonzero(self.fractions == fraction)[0])

    def next_fractions(self, limit: float, smallest: float, resolution: float) -> list[float]:
        """Fractions to measure next, rising; empty where the bracket is narrow enough.

        Parameters
        ----------
        smallest : fraction below which nothing is tried. resolution : relative width of the bracket that is enough.

        Two ends that differ by one structure in every split are narrow enough, too.
        """
        bracket = self.bracket(limit)
        if bracket.low == 0.0:
            wanted = np.geomspace(smallest, bracket.high, N_NEW + 2)[:-1]
        elif bracket.high / bracket.low <= 1.0 + resolution or self._one_structure_apart(bracket):
            return []
        else:
            wanted = np.geomspace(bracket.low, bracket.high, N_NEW + 2)[1:-1]
        low = max(bracket.low, smallest * (1.0 - 1e-9))
        new = dict.fromkeys(float(f"{fraction:.4g}") for fraction in wanted)
        return [f for f in new if low <= f < bracket.high and f not in self.fractions]

    def _one_structure_apart(self, bracket: Bracket) -> bool:
        if bracket.high == WHOLE:
            return False
        kept = self.structures
        return bool(np.all(kept[self.at(bracket.high)] - kept[self.at(bracket.low)] <= 1))

    def chance(self, fraction: float, limit: float) -> float:
        """The chance that a mean ratio is above ``limit`` after all, from the spread over splits; NaN for one split.

        By Student's t of the logarithms, for the error that is nearer to the limit. It is about other splits of the
        same structures.
        """
        logs = np.log(self.ratios[self.at(fraction)])
        n = len(logs)
        if n < 2:
            return float("nan")
        spread = logs.std(axis=0, ddof=1) / np.sqrt(n)
        room = np.log(limit) - logs.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(spread > 0.0, room / spread, np.inf)
        return float(max(stdtr(n - 1, -value) for value in t))


def chosen(curves: Mapping[str, RatioCurve], limit: float) -> str | None:
    """The way of choosing with the smallest set within ``limit``; None where none is smaller than the whole pool.

    Of equal sizes the one with the smaller errors is taken.
    """
    found = {}
    for name, curve in curves.items():
        fraction = curve.bracket(limit).high
        if fraction < WHOLE:
            i = curve.at(fraction)
            found[name] = (float(curve.parts[i].mean()), float(curve.means[i].max()))
    return min(found, key=lambda name: found[name]) if found else None


def middle(values: Sequence[float]) -> int:
    """Number of the value in the middle, the lower of two: the best would be the luckiest."""
    return int(np.argsort(values, kind="stable")[(len(values) - 1) // 2])


@dataclass(frozen=True, eq=False)
class Answer:
    """What a search found.

    model: its name. within: allowed growth of errors, %. quantities: names of the E errors that are judged.
    curves: name of a way of choosing -> what was measured of it; left_out: of others -> why. smallest: fraction of the
    pool's atoms below which nothing was tried. taken: the way that was taken; None: nothing below the whole pool is
    within. split: number of the split whose set is written, the middle one. n_splits: how many there are.
    n_pool, n_pool_atoms: of that split. kept, whole: metrics of the written set, and of the whole pool, in that split.
    test_ratios: (S, E), test errors by those of the whole pool, read after the choice; NaN without a test set.
    n_validation, n_test: distinct structures in the smallest validation set, and structures of the test set.
    missing: judged errors that these data do not have. n_retrains: potentials that were fitted.
    """

    model: str
    within: float
    quantities: tuple[str, ...]
    curves: Mapping[str, RatioCurve]
    left_out: Mapping[str, str]
    smallest: float
    taken: str | None
    split: int
    n_splits: int
    n_pool: int
    n_pool_atoms: int
    kept: Mapping[str, float]
    whole: Mapping[str, float]
    test_ratios: Array
    n_validation: int
    n_test: int
    missing: tuple[str, ...]
    n_retrains: int

    @property
    def limit(self) -> float:
        """The largest allowed ratio."""
        return 1.0 + self.within / 100

    @property
    def fraction(self) -> float:
        """Of the set that is taken, as it was asked for."""
        return WHOLE if self.taken is None else self.curves[self.taken].bracket(self.limit).high

    @property
    def part(self) -> float:
        """The written set's part of the pool's atoms."""
        return self.kept[KEPT_ATOMS] / self.n_pool_atoms
