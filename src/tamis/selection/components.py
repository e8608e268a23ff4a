"""Principal axes of many rows, from the smaller of two squares: columns by columns, or rows by rows.

A descriptor of five elements has tens of thousands of columns, and a pool often fewer structures. The axes of n rows
lie in the space of the rows, so that the Gram matrix (n, n) holds as much as the scatter matrix (d, d): where
X X^T u = s u, the vector X^T u / sqrt(s) is an axis, and s the sum of squares along it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tamis.selection.base import Array
from tamis.selection.rows import pieces, project

SQUARES = 5
"""Square matrices in memory while axes are computed: the matrix, its eigenvectors, and the workspace of LAPACK."""


def numbers_for_axes(n_rows: int, width: int) -> int:
    """Numbers in memory while the axes of rows are computed."""
    fewer = min(n_rows, width)
    return SQUARES * fewer**2 + width * fewer


def numbers_for_components(n_rows: int, width: int) -> int:
    """Numbers in memory while the components of rows are computed."""
    return numbers_for_axes(n_rows, width) + n_rows * min(n_rows, width)


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Directions in which rows (n, d) differ most from ``origin`` (d,), after columns are multiplied by ``scale`` (d,).

    squares: (r,), falling: sums of squares of the components along each axis; r = min(n, d), without those that are
        rounding where n < d.
    vectors: the axes as columns, (d, r), where d <= n; else the left singular vectors, (n, r). The largest entry of a
        column is positive.
    """

    rows: Array
    origin: Array
    scale: Array
    squares: Array
    vectors: Array

    @classmethod
    def of(cls, rows: Array, origin: Array, scale: Array | None = None) -> PrincipalAxes:
        """The axes of rows in memory, which are not copied."""
        n, d = rows.shape
        factor = np.ones(d) if scale is None else scale
        if d <= n:
            return cls(
                rows, origin, factor, *axes_of(scatter((rows[part] for part in pieces(n, d)), origin, factor))
            )
        squares, left = axes_of(_gram(rows, origin, factor))
        kept = squares > n * np.finfo(np.float64).eps * squares[0]
        return cls(rows, origin, factor, squares[kept], left[:, kept])

    def number_for(self, part: float) -> int:
        """The number of axes that hold this part, above 0 and below 1, of the sum of squares."""
        return number_for(self.squares, part)

    def components(self, k: int) -> Array:
        """Components of the rows along the first ``k`` axes, (n, k); equal rows stay equal."""
        return project(self.rows, self.origin, self.turn(k))

    def turn(self, k: int) -> Array:
        """The first ``k`` axes as columns, times the scale: components are (rows - origin) @ turn, (d, k)."""
        n, d = self.rows.shape
        if d <= n:
            return self.scale[:, None] * self.vectors[:, :k]
        found = np.empty((d, k))
        weights = self.vectors[:, :k] / np.sqrt(self.squares[:k])
        for part in pieces(d, n):
            centred = (self.rows[:, part] - self.origin[part]) * self.scale[part] ** 2
            np.matmul(centred.T, weights, out=found[part])
        return found


def number_for(squares: Array, part: float) -> int:
    """The number of leading ``squares``, falling, that make up this part, above 0 and below 1, of their sum.

    It is as many as ``sklearn.decomposition.PCA(n_components=part)`` keeps.
    """
    return min(int(np.searchsorted(np.cumsum(squares / squares.sum()), part, side="right")) + 1, len(squares))


def scatter(parts: Iterable[Array], origin: Array, scale: Array) -> Array:
    """X^T X of X = (rows - origin) * scale, (d, d), of rows that come in pieces."""
    found = np.zeros((len(origin), len(origin)))
    for rows in parts:
        scaled = (rows - origin) * scale
        found += scaled.T @ scaled
    return found


def _gram(rows: Array, origin: Array, scale: Array) -> Array:
    """X X^T of X = (rows - origin) * scale, (n, n)."""
    n, d = rows.shape
    found = np.zeros((n, n))
    for part in pieces(d, n):
        scaled = (rows[:, part] - origin[part]) * scale[part]
        found += scaled @ scaled.T
    return found


def axes_of(square: Array) -> tuple[Array, Array]:
    """Eigenvalues of a symmetric matrix, falling and not below 0, (d,), and its eigenvectors as columns, (d, d).

    A vector has either sign; here its largest entry is positive.
    """
    values, vectors = np.linalg.eigh(square)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return values, vectors * np.sign(vectors[largest, np.arange(len(vectors))])


def column_squares(rows: Array, origin: Array) -> Array:
    """Sum of squares of each column of rows - origin, (d,)."""
    found = np.zeros(rows.shape[1])
    for part in pieces(*rows.shape):
        centred = rows[part] - origin
        found += np.einsum("ij,ij->j", centred, centred)
    return found
