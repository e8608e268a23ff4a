"""Passes over many rows, a piece at a time, so that the working memory does not grow with the number of rows.

Pieces have a fixed number of numbers, so results do not depend on how much memory there is.
"""

from collections.abc import Iterator

import numpy as np

from tamis.bases.base import Array

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


def project(rows: Array, origin: Array, axes: Array) -> Array:
    """(rows - origin) @ axes, (n, k)."""
    found = np.empty((len(rows), axes.shape[1]))
    for part in pieces(*rows.shape):
        np.matmul(rows[part] - origin, axes, out=found[part])
    return found
