"""Is it being the own one? The own assignment of descriptors to models, ranked among all assignments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.half_pools.answers import AssignmentRank
from tamis.core.errors import TamisError

Array = NDArray[np.float64]
MOST = 8
"""Models; 8! assignments are 40320."""
ROUNDING = 1e-12


def assignment_rank(errors: Array, own: Sequence[int]) -> AssignmentRank:
    """The place of the own assignment, the lowest sum of errors first.

    Parameters
    ----------
    errors : (elements, n, n), log errors of each model (row) with sets of each model's descriptor (column).
    own : (n,), the column of each model's own descriptor, each column once.

    Rows and columns are centred for each element, so that neither a good model nor a descriptor that is good for all
    counts; then elements are averaged. Assignments whose sums are equal to rounding share the less favourable place.

    Raises
    ------
    TamisError : a shape, a value or ``own`` is not allowed.
    """
    n = len(own)
    if errors.ndim != 3 or errors.shape[1:] != (n, n) or not len(errors) or not 2 <= n <= MOST:
        raise TamisError(
            f"errors of shape {errors.shape} for {n} models; give (elements, n, n) with n from 2 to {MOST}"
        )
    if not np.isfinite(errors).all():
        raise TamisError("an error is not finite; leave out elements that do not have every cell")
    if sorted(own) != list(range(n)):
        raise TamisError(f"own is {list(own)}; give each of the {n} columns once")
    centred = errors - errors.mean(axis=1, keepdims=True)
    matrix = (centred - centred.mean(axis=2, keepdims=True)).mean(axis=0)
    assignments = np.array(list(permutations(range(n))))
    sums = matrix[np.arange(n), assignments].sum(axis=1)
    ours = float(matrix[np.arange(n), list(own)].sum())
    slack = ROUNDING * max(1.0, float(np.abs(matrix).max()))
    rank, above = int((sums <= ours + slack).sum()), int((sums >= ours - slack).sum())
    return AssignmentRank(rank, len(sums), min(1.0, 2.0 * min(rank, above) / len(sums)))
