"""CUR: the structures with the largest leverage."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from scipy.linalg import eigh

from tamis.core.fields import Checked, Whole
from tamis.selection.base import Array, Features, Indices, Pruner, Shape
from tamis.selection.greedy import TIE, Mask, first_largest
from tamis.selection.rows import pieces

NOTHING = 1e-10
"""Part of the sum of squares below which the chosen structures span all."""
FADED = 1e-3
"""The sum of squares is computed anew, not updated, when it has fallen to this part."""

SQUARES = 9
"""Matrices at once: the Gram matrix, four while it changes, the chosen directions, eigenvectors and LAPACK's memory."""


@dataclass(frozen=True)
class Cur(Checked, Pruner):
    """Always the structure of largest leverage; its direction is then projected out of all others.

    The leverage of row i of the structure vectors X is the sum of U_ij^2 over the leading left singular vectors j
    (Mahoney and Drineas, PNAS 106, 697 (2009)); choosing one by one and making the rest orthogonal to it follows
    Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), and scikit-matter's CUR. The latter gives the same order (a
    test), but refuses small pools, and its iteration misses degenerate singular vectors. When the chosen structures
    span all directions, the others have no leverage left; they are then ranked anew in the same way.

    n_vectors: number of leading singular vectors that count, at least 1.
    """

    n_vectors: Annotated[int, Whole(1)]
    nested: ClassVar[bool] = True

    def working(self, vectors: Shape, environments: Shape) -> int:
        """Square matrices of the smaller dimension; where there are fewer structures than columns, a copy for QR."""
        n, width = vectors
        return SQUARES * min(n, width) ** 2 + (n * width if n < width else 0)

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        vectors = features.vectors
        if vectors.shape[0] < vectors.shape[1]:  # the same angles and lengths in fewer columns
            vectors = np.asarray(np.linalg.qr(vectors.T, mode="r")).T
        left = np.ones(len(vectors), dtype=np.bool_)
        order: list[int] = []
        while len(order) < n_structures:
            layer = _layer(vectors, left, n_structures - len(order), self.n_vectors)
            order.extend(layer)
            left[layer] = False
        return np.array(order, dtype=np.intp)


def _layer(vectors: Array, left: Mask, n: int, n_vectors: int) -> list[int]:
    """At most ``n`` of the rows ``left`` until they span them all; at least one (all where every one is zero)."""
    taken = np.zeros((vectors.shape[1], 0))  # orthonormal columns: the span of what was chosen
    gram = _gram(vectors, left, taken)
    whole = computed = float(np.trace(gram))
    if whole == 0.0:
        return [int(i) for i in np.flatnonzero(left)[:n]]
    free = left.copy()
    layer: list[int] = []
    while len(layer) < n and free.any() and np.trace(gram) > NOTHING * whole:
        leverage = _leverage(vectors, gram, n_vectors)
        i = first_largest(np.where(free, leverage, -np.inf), 1.0)
        layer.append(i)
        free[i] = False
        rest = _orthogonal(_orthogonal(vectors[i], taken), taken)  # twice: once leaves rounding behind
        length = np.linalg.norm(rest)
        if length**2 <= np.finfo(np.float64).eps ** 2 * whole:
            continue
        direction = rest / length
        taken = np.hstack([taken, direction[:, None]])
        # P gram P with the projector P = 1 - direction direction^T
        image = gram @ direction
        cross = np.outer(direction, image)
        gram = gram - cross - cross.T + (direction @ image) * np.outer(direction, direction)
        if np.trace(gram) < FADED * computed:  # rounding of what is gone would soon be seen
            gram = _gram(vectors, left, taken)
            computed = float(np.trace(gram))
    return layer


def _gram(vectors: Array, left: Mask, taken: Array) -> Array:
    """X^T X of the rows ``left`` without their parts along the orthonormal columns ``taken``, (d, d)."""
    gram = np.zeros((vectors.shape[1], vectors.shape[1]))
    for part in pieces(*vectors.shape):
        rows = vectors[part][left[part]]
        rest = rows - (rows @ taken) @ taken.T
        gram += rest.T @ rest
    return gram


def _orthogonal(vector: Array, taken: Array) -> Array:
    return np.asarray(vector - taken @ (taken.T @ vector))


def _leverage(vectors: Array, gram: Array, n_vectors: int) -> Array:
    """Leverage of each row, (n,), in what ``gram`` = P vectors^T vectors P leaves of the directions.

    A right singular vector v of the projected rows lies in the range of P, so that (x P) v = x v: the rows need not be
    changed. All vectors of the last counted singular value count: of a degenerate pair rounding alone says which comes
    first. A few more than needed are computed to see that, and all where these do not suffice.
    """
    d = len(gram)
    first = max(0, d - n_vectors - 3)
    squares, right = eigh(gram, subset_by_index=(first, d - 1), check_finite=False)
    least = max(squares[-min(n_vectors, d)] - TIE * squares[-1], TIE * squares[-1])
    if first > 0 and squares[0] >= least:
        squares, right = eigh(gram, check_finite=False)
    counted = squares >= least
    left = vectors @ (right[:, counted] / np.sqrt(squares[counted]))
    return np.einsum("ij,ij->i", left, left)
