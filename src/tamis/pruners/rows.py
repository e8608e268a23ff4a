"""Passes over many rows, a piece at a time: what they hold at once does not grow with the number of rows.

Pieces have a fixed number of numbers, so results do not depend on how much memory there is.
"""

from collections.abc import Iterator

import numpy as np

from tamis.pruners.base import Array

PIECE = 2**18
"""Numbers in one piece: 2 MiB, which stays in the cache of a core."""


def pieces(n_rows: int, width: int) -> Iterator[slice]:
    """Slices that cover ``n_rows`` rows, each of about ``PIECE`` numbers of rows of ``width``."""
    step = max(1, PIECE // max(1, width))
    for begin in range(0, n_rows, step):
        yield slice(begin, min(begin + step, n_rows))


def distances(rows: Array, point: Array) -> Array:
    """Distance of each row (n, d) from ``point`` (d,), (n,).

    From differences, not from a Gram matrix: equal rows are at exactly zero.
    """
    found = np.empty(len(rows))
    for part in pieces(*rows.shape):
        difference = rows[part] - point
        np.einsum("ij,ij->i", difference, difference, out=found[part])
    return np.sqrt(found, out=found)


def scatter(rows: Array, origin: Array) -> Array:
    """(rows - origin)^T (rows - origin), (d, d)."""
    found = np.zeros((rows.shape[1], rows.shape[1]))
    for part in pieces(*rows.shape):
        centred = rows[part] - origin
        found += centred.T @ centred
    return found


def axes_of(covariance: Array) -> tuple[Array, Array]:
    """Variances along the principal axes, falling, (d,), and the axes as columns, (d, d).

    An axis has either sign; here its largest entry is positive.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    largest = np.abs(axes).argmax(axis=0)
    return variances, axes * np.sign(axes[largest, np.arange(len(axes))])


def leading_axes(covariance: Array, variance: float) -> Array:
    """As many leading axes, (d, k), as hold the part ``variance``, above 0 and below 1, of a covariance that is not 0.

    As many as ``sklearn.decomposition.PCA(n_components=variance)`` keeps.
    """
    variances, axes = axes_of(covariance)
    parts = np.cumsum(variances / variances.sum())
    return axes[:, : int(np.searchsorted(parts, variance, side="right")) + 1]


def project(rows: Array, origin: Array, axes: Array) -> Array:
    """(rows - origin) @ axes, (n, k)."""
    found = np.empty((len(rows), axes.shape[1]))
    for part in pieces(*rows.shape):
        np.matmul(rows[part] - origin, axes, out=found[part])
    return found
