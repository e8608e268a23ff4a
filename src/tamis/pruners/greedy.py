"""What greedy pruners share: a stable argmax, distances to what is chosen, environments by structure."""

from collections.abc import Sequence

import numpy as np

from tamis.pruners.base import Array, Features, Indices

TIE = 1e-9
"""Scores closer than this part of their scale are equal: rounding must not decide what is kept."""


def first_largest(scores: Array, scale: float) -> int:
    """Index of the largest score; of those equal to it within ``TIE * scale`` the first."""
    return int(np.argmax(scores >= scores.max() - TIE * scale))


def spread(vectors: Array) -> float:
    """Largest distance of a vector from the mean: the scale on which distances are compared."""
    return float(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).max())


def central(vectors: Array) -> int:
    """The vector nearest to the mean of all."""
    return first_largest(-np.linalg.norm(vectors - vectors.mean(axis=0), axis=1), spread(vectors))


def by_distance(vectors: Array, start: Sequence[int] | Indices, n: int, farthest: bool) -> Indices:
    """``n`` indices: those of ``start``, then always the farthest (or nearest) to its nearest chosen one.

    Distances are taken from differences, not from a Gram matrix, so that equal vectors are at exactly zero.
    """
    order = list(start)[:n]
    scale = spread(vectors)
    nearest = np.full(len(vectors), np.inf)
    for i in order:
        nearest = np.minimum(nearest, np.linalg.norm(vectors - vectors[i], axis=1))
    left = np.ones(len(vectors), dtype=bool)
    left[order] = False
    while len(order) < n:
        i = first_largest(np.where(left, nearest if farthest else -nearest, -np.inf), scale)
        order.append(i)
        left[i] = False
        nearest = np.minimum(nearest, np.linalg.norm(vectors - vectors[i], axis=1))
    return np.array(order, dtype=np.intp)


def first_of_equals(vectors: Array) -> Indices:
    """One index for every set of vectors that are equal up to rounding: its first, ascending."""
    grain = TIE * spread(vectors)
    if grain == 0.0:
        return np.zeros(1, dtype=np.intp)
    rounded = np.round((vectors - vectors.mean(axis=0)) / grain)
    return np.sort(np.unique(rounded, axis=0, return_index=True)[1]).astype(np.intp)


def medoids(vectors: Array, labels: Indices, rng: np.random.Generator) -> Indices:
    """Of every cluster the member nearest to the cluster's mean; large clusters first, equally large ones shuffled.

    An atom budget cuts a choice at its end, so what stands for most structures comes first, and the order of the
    pool, which is often by group, must not decide the rest.
    """
    names, sizes = np.unique(labels, return_counts=True)
    chosen = []
    for i in np.lexsort((rng.permutation(len(names)), -sizes)):
        members = np.flatnonzero(labels == names[i])
        chosen.append(members[central(vectors[members])])
    return np.array(chosen, dtype=np.intp)


def environments_by_structure(features: Features, environments: Array) -> list[Array]:
    """The rows of ``environments`` (n_environments, d) of each structure."""
    rows = np.argsort(features.owners, kind="stable")
    ends = np.cumsum(np.bincount(features.owners, minlength=len(features)))
    return np.split(environments[rows], ends[:-1])
