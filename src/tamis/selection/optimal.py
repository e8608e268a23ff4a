"""Bayesian optimal designs: the structures whose design rows teach a linear model most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from scipy.linalg import blas, lapack

from tamis.core.errors import TamisError
from tamis.core.fields import Checked, OneOf, Whole
from tamis.core.packed import Factor, inverse_of_triangle, packed, unpacked
from tamis.selection.base import Array, Features, Indices, Pruner
from tamis.selection.greedy import Mask, first_largest, lazy_largest
from tamis.selection.information import SPREAD, UNIFORM, Information, products

VARIANCE, DETERMINANT = "variance", "determinant"
ASKED = 4
"""Old gains that are computed anew at once, the first time in a step."""
GROWTH = 0.5
"""The gain of a structure in variance may have grown by this power of the factor by which the variance fell.

Some grow by more; the choices of mlearn are the same as with every gain computed (docs/optimal.md)."""


@dataclass(frozen=True)
class Optimal(Checked, Pruner):
    """Always the structure that raises the criterion most, per atom where the budget counts atoms.

    With A = 1 + sum over kept structures of X^T X and G the mean of X^T X over the pool (``information``):

    * ``variance``: -tr(G A^-1), the mean variance of the predictions on the whole pool (Bayesian I- or V-optimality).
      The gain of rows X is tr((1 + X C X^T)^-1 X C G C X^T), C = A^-1.
    * ``determinant``: log det A (Bayesian D-optimality). The gain is log det(1 + X C X^T).

    Both: Chaloner and Verdinelli, Stat. Sci. 10, 273 (1995). The determinant is submodular: its gains only fall as more
    is kept, so an old gain bounds the new one (Minoux, Lect. Notes Control Inf. Sci. 7, 234 (1978)), and in a budget of
    structures greedy gets at least 1 - 1/e of the best (Krause and Golovin, in: Tractability, 2014). The variance is
    not: a gain may grow. An old gain is trusted up to some growth (``GROWTH``); where a new gain shows that it was not
    enough, all gains of that step are computed.

    criterion: variance or determinant.
    noise: uniform, or spread: larger errors are expected where the values of atoms are far from their mean, so the rows
        of these structures count less (``information``).
    exchanges: after the greedy choice, at most so many times the structure that would be missed least is taken out and
        what fits in its place is chosen anew, as long as the criterion rises (after Fedorov, Theory of Optimal
        Experiments, 1972). Choices of different sizes are then no prefixes of each other.
    """

    criterion: Annotated[str, OneOf(VARIANCE, DETERMINANT)]
    exchanges: Annotated[int, Whole(0)]
    noise: Annotated[str, OneOf(UNIFORM, SPREAD)] = UNIFORM
    nested: ClassVar[bool] = True
    needs_information: ClassVar[bool] = True

    @property
    def keeps_prefixes(self) -> bool:
        """Exchanges are made for one size."""
        return self.exchanges == 0

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        if len(_information(features).mean) == 0:
            return np.arange(n_structures, dtype=np.intp)
        choice = self._begin(features)
        most = None if features.limit is None else features.limit.atoms
        while len(choice.order) < n_structures and (most is None or choice.spent <= most):
            choice.take_next()
        return np.array(choice.order, dtype=np.intp)

    def _improve(self, features: Features, kept: Indices) -> Indices:
        if self.exchanges == 0 or len(_information(features).mean) == 0:
            return kept
        choice = self._begin(features)
        for i in kept:
            choice.take(int(i))
        limit = features.limit
        if limit is None:
            raise TamisError("exchanges need a limit: choose with Pruner.select")
        most = limit.structures if limit.atoms is None else limit.atoms
        for _ in range(self.exchanges):
            if not choice.exchange(most or len(features)):
                break
        return np.array(choice.order, dtype=np.intp)

    def _begin(self, features: Features) -> _Choice:
        return _Choice(_information(features), features.costs.astype(np.float64), self.criterion)


def _information(features: Features) -> Information:
    if features.information is None:
        raise TamisError("Optimal needs design rows; make the features with features_of_rows")
    return features.information


@dataclass(eq=False)
class _Choice:
    """A choice in progress.

    order: what is kept. precision: A, (r, r). gains: (n,) by structure, when it was last computed; infinity before.
    then: (n,) the variance at that time. packed: A, as the products of the structures are. whitener: W, (r, r), a
    triangle, W W^T = A^-1. shifts: A^-1 G^1/2, (r, r). variance: tr(G A^-1). score: the criterion, which is to be high.
    """

    information: Information
    costs: Array
    criterion: str
    order: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, r = len(self.costs), len(self.information.mean)
        self.gains, self.then = np.full(n, np.inf), np.ones(n)
        self.left = np.ones(n, dtype=np.bool_)
        self._set(np.eye(r))

    @property
    def spent(self) -> float:
        """What the kept structures cost."""
        return float(self.costs[self.order].sum())

    def take_next(self) -> None:
        """Keep the structure of the largest gain per cost, the first of equal ones."""
        self.take(self.best(self.left))

    def take(self, i: int) -> None:
        """Keep a structure."""
        self.order.append(i)
        self.left[i] = False
        self._set(self.precision + products(self.information.blocks[i], len(self.precision)))

    def best(self, among: Mask) -> int:
        """The structure of the largest gain per cost; only gains that may be the largest are computed."""
        bounds = np.where(among, self._bounds() / self.costs, -np.inf)
        fresh = np.zeros(len(bounds), dtype=np.bool_)
        surprised = False

        def renew(which: Indices) -> Array:
            nonlocal surprised
            found = self._renew(which) / self.costs[which]
            surprised |= bool(np.any(found > (1.0 + 1e-9) * bounds[which]))
            return found

        chosen = lazy_largest(bounds, fresh, renew, abs, ASKED)
        if surprised:
            rest = np.flatnonzero(among & ~fresh)
            bounds[rest] = renew(rest)
            chosen = first_largest(bounds, float(bounds.max()))
        return chosen

    def exchange(self, most: float) -> bool:
        """Take out the structure that would be missed least, and keep what fits; False where that is no better."""
        before = self.order, self.precision, self.left, self.score
        losses = np.array([-self._change(i, -1.0) for i in self.order]) / self.costs[self.order]
        place = first_largest(-losses, float(losses.min()))
        out = self.order[place]
        self.order = [*self.order[:place], *self.order[place + 1 :]]
        self.left = self.left.copy()
        self._set(self.precision - products(self.information.blocks[out], len(self.precision)))
        self.left[out] = True
        self.gains[:] = np.inf  # less is known now: gains may have grown
        while len(fits := np.flatnonzero(self.left & (self.costs <= most - self.spent))):
            self.take(self.best(np.isin(np.arange(len(self.left)), fits)))
        if self.score > before[3] + 1e-9 * abs(before[3]):
            return True
        self.order, precision, self.left = before[:3]
        self._set(precision)
        return False

    def _set(self, precision: Array) -> None:
        """Take over a precision A, and what gains are computed with."""
        self.precision = precision
        self.packed = packed(np.asfortranarray(precision))
        factor = self._factor_of(self.packed.copy())
        self.whitener = inverse_of_triangle(factor)
        self.shifts = self.whitener @ self.whitener.T * np.sqrt(self.information.mean)
        self.variance = self._variance_of(self.whitener)
        self.score = -self.variance if self.criterion == VARIANCE else _log_det(factor)

    def _bounds(self) -> Array:
        if self.criterion == DETERMINANT:
            return self.gains
        return np.asarray(self.gains * (self.then / self.variance) ** GROWTH)

    def _renew(self, which: Indices) -> Array:
        self.gains[which] = [self._change(i, 1.0) for i in which]
        self.then[which] = self.variance
        return self.gains[which]

    def _change(self, i: int, sign: float) -> float:
        """What the criterion changes by with the rows of a structure (sign 1), or without them (sign -1)."""
        block = self.information.blocks[i]
        if block.ndim == 1:
            return self._score_of(self.packed + sign * block) - self.score
        square = blas.dsyrk(sign, (block @ self.whitener).T, trans=1)
        square[np.diag_indices_from(square)] += 1.0
        factor = lapack.dpotrf(square, overwrite_a=True)[0]
        if self.criterion == DETERMINANT:
            return _log_det(factor)
        solved = blas.dtrsm(1.0, factor, (block @ self.shifts).T, side=1, overwrite_b=True)
        return sign * float(np.vdot(solved, solved))

    def _score_of(self, precision: Array) -> float:
        """The criterion with a packed precision, which is overwritten."""
        factor = self._factor_of(precision)
        if self.criterion == DETERMINANT:
            return _log_det(factor)
        return -self._variance_of(inverse_of_triangle(factor))

    def _variance_of(self, whitener: Array) -> float:
        """tr(G W W^T)."""
        return float(self.information.mean @ np.einsum("ij,ij->i", whitener, whitener))

    def _factor_of(self, precision: Array) -> Array:
        """U, (r, r), an upper triangle, U^T U the packed precision, which is overwritten."""
        width = len(self.precision)
        return unpacked(Factor.of(precision, width).triangle, width)


def _log_det(factor: Array) -> float:
    """log det(U^T U) of a triangle U."""
    return 2.0 * float(np.log(factor.diagonal()).sum())
