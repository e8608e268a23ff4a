"""Symmetric matrices of which one triangle is kept, in LAPACK's rectangular full packed format, and their factors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, lapack

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

TRANSPOSED = "T"
"""The variant of LAPACK's packed format: of the four, the one that is factorised fastest."""

INVERTED_WHOLE = 64
"""Columns of a triangle that LAPACK inverts fastest in one piece."""


def packed(triangle: Array) -> Array:
    """The upper triangle of a matrix (K, K), Fortran order, as (K (K + 1) / 2,) in LAPACK's rectangular full format.

    It takes half of the memory, and factorises as fast (Gustavson et al., ACM Trans. Math. Softw. 37, 18 (2010)).
    """
    return np.asarray(lapack.dtrttf(triangle, transr=TRANSPOSED)[0])


def unpacked(matrix: Array, size: int) -> Array:
    """The upper triangle (size, size), Fortran order, of a ``packed`` matrix; zeros below."""
    return np.asarray(lapack.dtfttr(size, matrix, transr=TRANSPOSED)[0])


@functools.cache
def diagonal_places(size: int) -> Indices:
    """Where the diagonal of a matrix (size, size) is in its ``packed`` form, (size,)."""
    order = packed(np.diag(np.arange(1.0, size + 1.0)).T)
    places = np.flatnonzero(order)
    return places[np.argsort(order[places])]


def packed_gram(matrix: Array) -> Array:
    """The products of all pairs of columns of ``matrix`` (n, K), ``packed``."""
    return packed(blas.dsyrk(1.0, matrix.T))


def inverse_of_triangle(triangle: Array) -> Array:
    """The inverse of an upper triangle (K, K), Fortran order; zeros below.

    By halves: products of matrices are several times faster than LAPACK's inversion.
    """
    size, half = len(triangle), len(triangle) // 2
    if size <= INVERTED_WHOLE:
        return np.asarray(lapack.dtrtri(triangle)[0])
    inverse = np.zeros((size, size), order="F")
    first = inverse[:half, :half] = inverse_of_triangle(triangle[:half, :half])
    last = inverse[half:, half:] = inverse_of_triangle(triangle[half:, half:])
    beside = blas.dtrmm(1.0, first, triangle[:half, half:])
    inverse[:half, half:] = blas.dtrmm(-1.0, last, beside, side=1, overwrite_b=1)
    return inverse


@dataclass(frozen=True, eq=False)
class Factor:
    """Cholesky factor of a symmetric matrix (K, K), ``packed``."""

    triangle: Array
    size: int

    @classmethod
    def of(cls, matrix: Array, size: int) -> Factor:
        """The factor of a ``packed`` matrix, which is overwritten.

        Raises
        ------
        LinAlgError : not positive definite to rounding.
        """
        triangle, failed = lapack.dpftrf(size, matrix, transr=TRANSPOSED, overwrite_a=True)
        if failed:
            raise LinAlgError(f"the leading minor of order {failed} is not positive definite")
        return cls(triangle, size)

    def solve(self, target: Array) -> Array:
        """The solution for ``target`` (K,)."""
        return np.asarray(lapack.dpftrs(self.size, self.triangle, target, transr=TRANSPOSED)[0]).reshape(-1)
