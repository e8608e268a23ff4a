"""Is it being the own descriptor that matters? A permutation test on the matrix of models and descriptors.

Descriptors choose different structures, so some column of a row is the best one, in every draw of seeds. With seeds
enough the own one differs from the mean of the others, beyond chance, in any world, also where being own means nothing.
What would be special is that it is better in row after row. So the own assignment (SNAP to snap, GAP to SOAP, ...) is
compared with all ways to assign different descriptors to the models, on the matrix from which the means of rows
and columns are taken: how good a descriptor is for everyone does not count. If being own means
nothing, the own assignment is one of them like any other, so that p is exact whatever the distribution (the
principle of R. A. Fisher's randomisation test).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from math import perm

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST = 50_000
"""More assignments than this are drawn at random instead of going through all of them."""


@dataclass(frozen=True)
class Assignment:
    """Outcome of the test.

    estimate: mean over models of the own cell of the matrix, after the means of rows and columns were taken from it.
    p: one-sided, part of the assignments whose mean is as low or lower. n: assignments. smallest: lowest possible p.
    """

    estimate: float
    p: float
    n: int
    smallest: float


def centred(matrix: Array) -> Array:
    """The matrix without the means of its rows and columns."""
    rows, columns = matrix.mean(axis=1, keepdims=True), matrix.mean(axis=0, keepdims=True)
    return matrix - rows - columns + matrix.mean()


def own_assignment(matrix: Array, own: Mapping[int, int], rng: np.random.Generator) -> Assignment | None:
    """Compare the own assignment with all others.

    Parameters
    ----------
    matrix : (models, descriptors), log of the error. own : row -> column. rng : draws where there are too many.

    Returns
    -------
    None where fewer than two models have an own descriptor of their own, or the matrix has a gap in their rows.
    """
    rows = sorted(own)
    columns = [own[row] for row in rows]
    if len(rows) < 2 or len(set(columns)) < len(columns) or not np.isfinite(matrix[rows]).all():
        return None
    residual = centred(matrix[rows])
    n_columns = residual.shape[1]
    total = perm(n_columns, len(rows))
    if total <= MOST:
        chosen = np.array(list(permutations(range(n_columns), len(rows))))
    else:
        order = np.argsort(rng.random((MOST, n_columns)), axis=1)[:, : len(rows)]
        chosen = np.concatenate([[columns], order])
    sums = residual[np.arange(len(rows)), chosen].sum(axis=1)
    observed = residual[np.arange(len(rows)), columns].sum()
    # equal up to rounding counts as equal: the own assignment is one of those that are gone through
    as_low = sums <= observed + 1e-12 * np.abs(residual).max()
    return Assignment(
        estimate=float(observed / len(rows)),
        p=float(as_low.mean()),
        n=len(chosen),
        smallest=1.0 / len(chosen),
    )
