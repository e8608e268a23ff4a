"""How a fit chooses its settings: a grid judged by folds that widens where its edge wins, and a choice by evidence.

One rule for every model. Settings whose score is within one standard error of the lowest count as equally good
(Breiman et al., Classification and Regression Trees, 1984, section 3.4.3); the one nearest to the middle of the given
grid is chosen. Where it lies at an edge, a value beyond that edge is added at the grid's own ratio, the new settings
are judged, and the choice is made again, for as many rounds as the model's configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, ...]
"""A value of each axis."""

LEAST_GAIN = 0.02
"""Scores that differ by less are equal, whatever the standard error: less than a hundredth of each kind of error."""


@dataclass(frozen=True)
class Axis:
    """One parameter: its ``values`` to try, rising, none twice, and the limits that no widening passes."""

    values: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], low: float, high: float) -> Axis:
        """From values in any order."""
        return cls(tuple(sorted(set(map(float, values)))), low, high)

    def is_edge(self, value: float) -> bool:
        """True for the first and the last value; never where there is only one, which is the user's decision."""
        return len(self.values) > 1 and value in (self.values[0], self.values[-1])

    def widened(self, edge: float) -> Axis:
        """With one more value beyond ``edge``, at the ratio of the last two there; the same where it is no edge.

        Also the same where the next value would pass a limit, and next to 0, which has no ratio.
        """
        if not self.is_edge(edge):
            return self
        inner = self.values[1] if edge == self.values[0] else self.values[-2]
        new = edge**2 / inner if inner > 0.0 else 0.0
        margin = 1.0 + 1e-9  # of rounding
        if edge == 0.0 or not self.low / margin <= new <= self.high * margin:
            return self
        return replace(self, values=tuple(sorted((*self.values, new))))


Score = Callable[[Array, Array], Array]
"""Scores (n,), low is good, from sums of errors (n_kinds, n) over so many rows (n_kinds,)."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Errors of n settings on held-out structures, fold by fold.

    sums: (n_folds, n_kinds, n), over the held-out rows of a kind (energies, forces, stresses) of squared or absolute
        errors; infinity where a setting has no solution.
    rows: (n_folds, n_kinds), numbers of rows, or the sums of their weights where rows are weighted.
    score: turns the sums over folds into scores.
    """

    sums: Array
    rows: Array
    score: Score

    def beside(self, other: Losses) -> Losses:
        """Losses of these settings, then of those of ``other``, by the same folds."""
        return replace(self, sums=np.concatenate([self.sums, other.sums], axis=2))

    @property
    def scores(self) -> Array:
        """Scores by all folds together, (n,); infinity: no solution."""
        return self.score(self.sums.sum(axis=0), self.rows.sum(axis=0))

    def standard_errors(self, best: int) -> Array:
        """Standard error of each score minus that of setting ``best``, (n,), by the jackknife over folds.

        Efron and Stein, Annals of Statistics 9, 586 (1981). Infinity with fewer than two folds.
        """
        n = len(self.rows)
        if n < 2:
            return np.full(self.sums.shape[2], np.inf)
        folds = np.arange(n)
        left_out = [
            self.score(self.sums[folds != k].sum(axis=0), self.rows[folds != k].sum(axis=0)) for k in folds
        ]
        with np.errstate(invalid="ignore"):  # settings without a solution
            differences = np.array([scores - scores[best] for scores in left_out])
            return np.asarray(np.sqrt((n - 1) * np.var(differences, axis=0)))


@dataclass(frozen=True)
class Choice:
    """The chosen setting, its score, how many settings were tried in how many rounds of widening, and its edges.

    at_edge: parameters whose chosen value is the first or the last that was tried.
    """

    point: Point
    score: float
    tried: int
    rounds: int
    at_edge: int

    @property
    def report(self) -> dict[str, float]:
        """For a potential's diagnostics."""
        return {
            "settings_tried": float(self.tried),
            "grid_widened": float(self.rounds),
            "at_edge": float(self.at_edge),
            "fold_score": self.score,
        }


def choose(axes: Sequence[Axis], rounds: int, judge: Callable[[Sequence[Point]], Losses]) -> Choice | None:
    """Choose a setting by the rule of this module; None where no setting has a finite score.

    Parameters
    ----------
    axes : their product is the grid from which the widening starts. rounds : of widening, at most.
    judge : gives the losses of points, always by the same folds.
    """
    points: list[Point] = list(product(*(axis.values for axis in axes)))
    wide, done = tuple(axes), 0
    losses = judge(points)
    while (best := _most_central(points, losses, axes)) is not None:
        chosen = points[best]
        wider = tuple(axis.widened(value) for axis, value in zip(wide, chosen, strict=True))
        if wider == wide or done == rounds:
            edges = sum(axis.is_edge(value) for axis, value in zip(wide, chosen, strict=True))
            return Choice(chosen, float(losses.scores[best]), len(points), done, edges)
        known = set(points)
        new = [point for point in product(*(axis.values for axis in wider)) if point not in known]
        points, losses, wide, done = points + new, losses.beside(judge(new)), wider, done + 1
    return None


def _most_central(points: Sequence[Point], losses: Losses, axes: Sequence[Axis]) -> int | None:
    """The setting nearest to the middle of ``axes`` among those within a standard error of the lowest score."""
    scores = np.where(np.isnan(losses.scores), np.inf, losses.scores)
    lowest = int(np.argmin(scores))
    if not np.isfinite(scores[lowest]):
        return None
    allowed = np.fmax(losses.standard_errors(lowest), LEAST_GAIN)
    good = np.flatnonzero(np.isfinite(scores) & (scores - scores[lowest] <= allowed)).tolist()
    return min(good, key=lambda i: (_steps_from_middle(points[i], axes), scores[i]))


def _steps_from_middle(point: Point, axes: Sequence[Axis]) -> float:
    """Steps of the grid between a point and its middle, summed over the axes; rounded, so that equal is equal."""
    steps = 0.0
    for value, axis in zip(point, axes, strict=True):
        if len(axis.values) > 1:
            steps += abs(_place(value, axis) - (len(axis.values) - 1) / 2)
    return round(steps, 6)


def _place(value: float, axis: Axis) -> float:
    """Index of a value among those of an axis, continued beyond its ends at their ratios."""
    values = axis.values
    if value < values[0]:
        return float(-np.log(values[0] / value) / np.log(values[1] / values[0]))
    if value > values[-1]:
        return len(values) - 1 + float(np.log(value / values[-1]) / np.log(values[-1] / values[-2]))
    return float(values.index(value))
