"""The factor by which one kind of label is too large beside another.

Energies, forces and stresses belong to one potential. A smooth function of the distances is fitted to two kinds of
labels at once, one of them divided by a factor. It describes both kinds in held-out structures only if the factor is
right. The best factor is searched on a wide grid, and compared with 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIDGE = 1e-5
"""Ridge of the fit, whose columns are scaled to one."""
GRID = np.exp(np.arange(np.log(1e-5), np.log(1e8), 0.1))
"""Factors that are tried, with both signs, before the best one is refined."""
FINER = np.exp(np.linspace(-0.12, 0.12, 49))


@dataclass(frozen=True)
class Scale:
    """Result for one kind of label beside another.

    factor : by which the labels of the first kind are larger than the second kind suggests.
    errors : of both kinds of held-out labels with that factor, relative to their size: 1 is what zero would give.
    gain : ln of how many times larger their misfit is with the factor 1; of the product of both errors, if that is
        more.
    """

    factor: float
    errors: tuple[float, float]
    gain: float


def gram(blocks: Sequence[Array]) -> Array:
    """Sums of products of the columns of all rows (n, K + 1), the last of which holds the labels.

    Divided by the sum of squared labels; zeros if there are no labels, or only zeros.
    """
    total = np.asarray(sum((block.T @ block for block in blocks[1:]), blocks[0].T @ blocks[0]))
    square = float(total[-1, -1])
    return total / square if square > 0.0 else np.zeros_like(total)


def scale_between(first: Sequence[Array], second: Sequence[Array]) -> Scale | None:
    """The factor of the labels of the first kind, judged on two folds; None without labels or a fit.

    Parameters
    ----------
    first, second : ``gram`` of the rows of either kind, one for each of two folds.
    """
    for fold in (*first, *second):
        if fold[-1, -1] <= 0.0 or np.trace(fold[:-1, :-1]) <= 0.0:  # no labels, or no neighbours
            return None
    try:
        trained = [Trained.on(first[k], second[k]) for k in (0, 1)]
    except LinAlgError:
        return None

    def errors(factors: Array) -> Array:
        """Errors of both kinds of held-out labels, (2, n_factors)."""
        squares = np.zeros((2, len(factors)))
        for k in (0, 1):
            coefficients = trained[k].coefficients(factors)
            squares[0] += relative_squares(first[1 - k], coefficients, factors)
            squares[1] += relative_squares(second[1 - k], coefficients, np.ones(len(factors)))
        return np.asarray(np.sqrt(np.maximum(squares / 2.0, 1e-12)))

    def best(factors: Array) -> float:
        return float(factors[np.argmin(np.linalg.norm(errors(factors), axis=0))])

    factor = best(best(np.concatenate([GRID, -GRID])) * FINER)
    found = errors(np.array([factor, 1.0]))
    both, product = np.linalg.norm(found, axis=0), np.prod(found, axis=0)
    gain = float(np.log(max(both[1] / both[0], product[1] / product[0])))
    return Scale(factor, (float(found[0, 0]), float(found[1, 0])), gain)


@dataclass(frozen=True, eq=False)
class Trained:
    """The minima of e² |X_1 c - y_1 / e|² + |X_2 c - y_2|² + ridge |D c|² for every factor e.

    vectors (K, K) and values (K,) diagonalise both squares at once; first, second (K,): moments of the two kinds.
    """

    vectors: Array
    values: Array
    first: Array
    second: Array

    @classmethod
    def on(cls, first: Array, second: Array) -> Trained:
        """The minima for the ``gram`` of either kind."""
        from scipy.linalg import eigh  # brings a part of SciPy that most commands do without

        a, b = second[:-1, :-1], first[:-1, :-1]
        both = np.diag(a) / np.trace(a) + np.diag(b) / np.trace(b)  # no factor is favoured
        used = both > 1e-12 * both.max()
        scale = np.where(used, 1.0 / np.sqrt(np.where(used, both * np.trace(a), 1.0)), 0.0)
        outer = np.outer(scale, scale)
        values, vectors = eigh(b * outer, a * outer + RIDGE * np.eye(len(a)))
        vectors = vectors * scale[:, None]
        return cls(vectors, np.maximum(values, 0.0), vectors.T @ first[:-1, -1], vectors.T @ second[:-1, -1])

    def coefficients(self, factors: Array) -> Array:
        """(K, n_factors)."""
        moments = self.second[:, None] + factors * self.first[:, None]
        return np.asarray(self.vectors @ (moments / (1.0 + factors**2 * self.values[:, None])))


def relative_squares(square: Array, coefficients: Array, factors: Array) -> Array:
    """|X c - y / e|² / |y / e|² of a ``gram`` for each column of ``coefficients`` and its factor e."""
    scaled = coefficients * factors
    own = np.einsum("kn,kn->n", scaled, square[:-1, :-1] @ scaled)
    return np.asarray(own - 2.0 * square[-1, :-1] @ scaled + 1.0)
