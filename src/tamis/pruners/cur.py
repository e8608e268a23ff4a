"""CUR: the structures with the largest leverage."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import eigh

from tamis.exceptions import TamisError
from tamis.pruners.base import Array, Features, Indices, Pruner
from tamis.pruners.greedy import TIE, first_largest


@dataclass(frozen=True)
class Cur(Pruner):
    """Always the structure of largest leverage; what it explains is then taken out of all others.

    The leverage of row i of the structure vectors X is the sum of U_ij^2 over the leading left singular vectors j
    (Mahoney and Drineas, PNAS 106, 697 (2009)); choosing one by one and making the rest orthogonal to it follows
    Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), and scikit-matter's CUR. That gives the same order (a test),
    but refuses small pools and takes its singular vectors from an iteration that does not see degenerate ones.
    When the chosen structures span all directions, nothing is left to have leverage: the rest is then ranked anew in
    the same way, as often as needed.

    n_vectors: number of leading singular vectors that count, at least 1.
    """

    n_vectors: int
    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.n_vectors < 1:
            raise TamisError(f"pruner.n_vectors is {self.n_vectors}; at least 1 singular vector must count")

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        left = np.arange(len(features), dtype=np.intp)
        order: list[int] = []
        while len(order) < n_structures:
            layer = _layer(features.vectors[left], n_structures - len(order), self.n_vectors)
            order.extend(left[layer])
            left = np.delete(left, layer)
        return np.array(order, dtype=np.intp)


def _layer(vectors: Array, n: int, n_vectors: int) -> Indices:
    """At most ``n`` rows until they span all rows; at least one row (all rows where every one is zero)."""
    gram = vectors @ vectors.T
    nothing = 1e-10 * np.trace(gram)
    left = np.arange(len(vectors), dtype=np.intp)
    if nothing == 0.0:
        return left[:n]
    layer: list[int] = []
    while len(layer) < n and len(left) > 0 and np.trace(gram) > nothing:
        i = first_largest(_leverage(gram, n_vectors), 1.0)
        layer.append(int(left[i]))
        if gram[i, i] > 0.0:
            gram = gram - np.outer(gram[i], gram[i]) / gram[i, i]
        gram = np.delete(np.delete(gram, i, axis=0), i, axis=1)
        left = np.delete(left, i)
    return np.array(layer, dtype=np.intp)


def _leverage(gram: Array, n_vectors: int) -> Array:
    """Leverage of each row from the Gram matrix of the rows, (n,).

    All eigenvectors that belong to the last counted eigenvalue count: of a degenerate pair
    rounding alone says which comes first. A few more than needed are computed to see that.
    """
    n = len(gram)
    values, vectors = eigh(gram, subset_by_index=(max(0, n - n_vectors - 3), n - 1), check_finite=False)
    counted = values >= values[-min(n_vectors, n)] - TIE * values[-1]
    return np.einsum("ij,ij->i", vectors[:, counted], vectors[:, counted])
