"""The pool in a descriptor of whole structures: coordinates whose distances say how far structures are apart."""

import numpy as np

from tamis.bases.base import StructureBasis
from tamis.data.dataset import Dataset
from tamis.selection.base import Array, Features
from tamis.store import Store

ROUNDING = 1e-12
"""Rows that agree to this are those of one structure."""
SQUARES = 5
"""Matrices of all pairs of structures in memory while axes are found."""


def features_of_structures(basis: StructureBasis, pool: Dataset, store: Store) -> Features:
    """The pool for a pruner that uses distances alone.

    Raises
    ------
    TamisError : the memory of the store is too small for a number for each pair of structures, several times.
    """
    n = len(pool)
    with store.memory.holding():
        needed = 8 * (SQUARES * n**2 + 3 * n * basis.n_features)
        store.memory.reserve(needed, f"distances between {n} whole structures")
        vectors = coordinates(np.concatenate(list(store.lazy_values(basis, pool.structures))))
    return Features(
        vectors,
        np.empty((0, vectors.shape[1])),
        np.empty(0, dtype=np.intp),
        pool.n_atoms,
        tuple(pool.groups),
        of_structures=True,
        notes=basis.notes(pool.structures),
    )


def coordinates(rows: Array) -> Array:
    """Points whose squared Euclidean distances are the sums of absolute differences of ``rows`` (n, K), (n, k).

    There are such points for any rows: the L1 distance is of negative type (Schoenberg, Trans. Am. Math. Soc. 44, 522
    (1938)). They follow from the matrix of distances by classical scaling (Torgerson, Psychometrika 17, 401 (1952)).

    So what is nearest or farthest in L1 is so here. The structure nearest to the mean of some is the one of smallest
    mean L1 distance from them, and the sum of squares that k-means makes small is, for each cluster, half the sum over
    its members of their mean L1 distance from all of them. Equal rows have equal coordinates. There is always a column.
    """
    from scipy.spatial.distance import cdist

    distinct, which = np.unique(np.round(rows / ROUNDING), axis=0, return_inverse=True)
    distances = cdist(distinct * ROUNDING, distinct * ROUNDING, "cityblock")
    means = distances.mean(axis=0)
    squares, axes = np.linalg.eigh(-0.5 * (distances - means - means[:, None] + means.mean()))
    squares, axes = squares[::-1], axes[:, ::-1]
    kept = max(1, int(np.sum(squares > ROUNDING * squares[0])))
    points = axes[:, :kept] * np.sqrt(np.maximum(squares[:kept], 0.0))
    return np.asarray(points[which.reshape(-1)])
