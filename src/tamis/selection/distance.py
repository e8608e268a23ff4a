"""Choose rows by their distance to the chosen rows; farthest first, without computing every distance at every step.

The distance of a row to its nearest chosen one only shrinks as more are chosen, so an old distance is an upper bound of
the new one. Only rows whose bound reaches the largest true distance can be next (lazy evaluation: Minoux, Lect. Notes
Control Inf. Sci. 7, 234 (1978)). A few such rows are followed at every step. When they are used up, the distances of
others to all centres chosen meanwhile are computed at once, as a product of matrices. Products cancel, so they only say
which distances may be the smallest, within a proven error; those are then computed from differences.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.selection.base import Array, Indices
from tamis.selection.greedy import TIE, first_largest, spread
from tamis.selection.rows import distances, pieces

ROWS_AT_ONCE, CENTRES_AT_ONCE = 1024, 512
"""Size of one product: 4 MiB, which stays in the cache."""
NUMBERS_AT_ONCE = 2**20
"""Largest size of the rows, and of the centres, of one product: 8 MiB; wide rows are taken in smaller groups."""
FOLLOWED = 64
"""One in so many rows is followed at every step, and at least ``FEWEST_FOLLOWED``."""
FEWEST_FOLLOWED = 512


def by_distance(vectors: Array, start: Sequence[int] | Indices, n: int, farthest: bool) -> Indices:
    """``n`` indices: those of ``start``, then always the row farthest from (or nearest to) its nearest chosen row.

    Among rows that are equally far, within ``TIE`` of the spread of the vectors, the first is taken.
    """
    chosen = list(start)[:n]
    if len(chosen) < n:
        chosen = _farthest_first(vectors, chosen, n) if farthest else _nearest_first(vectors, chosen, n)
    return np.array(chosen, dtype=np.intp)


def n_followed(n: int) -> int:
    """How many of ``n`` rows are followed at every step, at least; at most twice as many."""
    return max(FEWEST_FOLLOWED, n // FOLLOWED)


def working_numbers(n: int, width: int) -> int:
    """Numbers that ``by_distance`` holds at once: the rows that it follows, and temporary copies."""
    return 3 * min(n, 2 * n_followed(n)) * (width + 2)


def _nearest_first(vectors: Array, order: list[int], n: int) -> list[int]:
    scale = spread(vectors)
    nearest = np.full(len(vectors), np.inf)
    left = np.ones(len(vectors), dtype=bool)
    for i in order:
        nearest = np.minimum(nearest, distances(vectors, vectors[i]))
    left[order] = False
    while len(order) < n:
        i = first_largest(np.where(left, -nearest, -np.inf), scale)
        order.append(i)
        left[i] = False
        nearest = np.minimum(nearest, distances(vectors, vectors[i]))
    return order


def _farthest_first(vectors: Array, order: list[int], n: int) -> list[int]:
    scale = spread(vectors)
    if scale > 0.0:
        search = _Search(vectors, scale, order)
        while len(order) < n and search.follow(n):
            pass
    # the rows left are equal to chosen ones: take them in the order of the pool
    left = np.ones(len(vectors), dtype=bool)
    left[order] = False
    return order + np.flatnonzero(left)[: n - len(order)].tolist()


class _Search:
    """Farthest point sampling in progress.

    vectors: (n, d). scale: their spread, above zero. order: chosen rows; it grows.
    bounds: (n,) distance to the nearest of the first ``seen`` chosen rows; minus infinity for chosen rows.
    squares: (n,) squared distance from the mean, in units of ``scale``.
    """

    def __init__(self, vectors: Array, scale: float, order: list[int]) -> None:
        self.vectors, self.scale, self.order = vectors, scale, order
        self.mean = vectors.mean(axis=0)
        self.squares = (distances(vectors, self.mean) / scale) ** 2
        self.seen = np.zeros(len(vectors), dtype=np.intp)
        self.bounds = np.full(len(vectors), np.inf)
        self.bounds[order] = -np.inf

    @property
    def error(self) -> float:
        """Bound of the error of ``_products``, in units of ``scale`` squared.

        A sum of m products of absolute value below a in all is wrong by at most m u a, u = 1.1e-16 (Higham, Accuracy
        and Stability of Numerical Algorithms, 2002, section 3.1); here m = d + 2, a = 4 for the product and as much for
        the squares and for the distance that it is compared with, and a few u for the centring: less than 8 (d + 4) u.
        """
        return 8 * (self.vectors.shape[1] + 4) * float(np.finfo(np.float64).eps)

    def follow(self, n: int) -> bool:
        """Choose among the farthest rows until another may be farther; False if all rows left equal chosen ones."""
        tie = TIE * self.scale
        rows, ceiling = self._refresh(tie)
        nearest, left_side = self.bounds[rows], self._left_side(rows)
        largest = nearest.max(initial=-np.inf)
        while len(self.order) < n and largest > tie and largest - tie > ceiling:
            k = int(np.argmax(nearest >= largest - tie))
            i = int(rows[k])
            self.order.append(i)
            nearest[k] = -np.inf
            product = left_side @ self._right_side(np.array([i]))[:, 0]
            closer = np.flatnonzero(product < (nearest / self.scale) ** 2 + self.error)
            found = distances(self.vectors[rows[closer]], self.vectors[i])
            nearest[closer] = np.minimum(nearest[closer], found)
            largest = nearest.max(initial=-np.inf)
        self._put_back(rows, nearest)
        return bool(largest > tie) or ceiling > tie

    def _put_back(self, rows: Indices, nearest: Array) -> None:
        self.bounds[rows] = nearest
        self.seen[rows] = len(self.order)

    def _refresh(self, tie: float) -> tuple[Indices, float]:
        """Rows, ascending, whose true distances are above a ceiling that no other row exceeds; and the ceiling.

        No other row is equal, within ``tie``, to the farthest of them.
        """
        wanted = n_followed(len(self.bounds))
        n_asked = wanted
        while True:
            fresh = self.seen == len(self.order)
            ceiling = float(np.where(fresh, -np.inf, self.bounds).max())
            rows = np.flatnonzero(fresh & (self.bounds > ceiling))
            largest = self.bounds[rows].max(initial=-np.inf)
            if ceiling == -np.inf or (len(rows) >= wanted and largest - tie > ceiling):
                break
            stale = np.flatnonzero(~fresh & (self.bounds > -np.inf))
            if len(stale) > n_asked:
                bounds = self.bounds[stale]
                stale = stale[bounds >= np.partition(bounds, -n_asked)[-n_asked]]
            self._ask(stale)
            n_asked *= 2
        if len(rows) > 2 * wanted:  # fewer are enough
            lower = float(np.partition(self.bounds[rows], -wanted)[-wanted])
            if largest - tie > lower:
                return rows[self.bounds[rows] > lower], lower
        return rows, ceiling

    def _ask(self, rows: Indices) -> None:
        """Update the distances of ``rows`` for all chosen rows."""
        most = max(1, NUMBERS_AT_ONCE // self.vectors.shape[1])
        n_rows, n_centres = min(ROWS_AT_ONCE, most), min(CENTRES_AT_ONCE, most)
        for seen in np.unique(self.seen[rows]):
            group, missed = rows[self.seen[rows] == seen], np.array(self.order[seen:])
            for begin in range(0, len(missed), n_centres):
                centres = missed[begin : begin + n_centres]
                right_side = self._right_side(centres)
                for first in range(0, len(group), n_rows):
                    self._lower(group[first : first + n_rows], centres, right_side)
        self.seen[rows] = len(self.order)

    def _lower(self, rows: Indices, centres: Indices, right_side: Array) -> None:
        """Lower the bounds of ``rows`` to their distances from the nearest of ``centres``."""
        products = self._left_side(rows) @ right_side
        smallest = products.min(axis=1)
        limit = np.minimum((self.bounds[rows] / self.scale) ** 2 + self.error, smallest + 2.0 * self.error)
        lower = np.flatnonzero(smallest <= limit)
        which, centre = np.nonzero(products[lower] <= limit[lower, None])
        pairs, other = rows[lower[which]], centres[centre]
        found = np.empty(len(pairs))
        for part in pieces(len(pairs), self.vectors.shape[1]):
            found[part] = _lengths(self.vectors[pairs[part]] - self.vectors[other[part]])
        np.minimum.at(self.bounds, pairs, found)

    def _left_side(self, rows: Indices) -> Array:
        """(n_rows, d + 2); times ``_right_side``: squared distances in units of ``scale``, up to ``error``."""
        side = np.empty((len(rows), self.vectors.shape[1] + 2))
        np.subtract(self.vectors[rows], self.mean, out=side[:, :-2])
        side[:, :-2] /= -0.5 * self.scale
        side[:, -2] = self.squares[rows]
        side[:, -1] = 1.0
        return side

    def _right_side(self, centres: Indices) -> Array:
        """(d + 2, n_centres)."""
        side = np.empty((self.vectors.shape[1] + 2, len(centres)))
        side[:-2] = ((self.vectors[centres] - self.mean) / self.scale).T
        side[-2] = 1.0
        side[-1] = self.squares[centres]
        return side


def _lengths(differences: Array) -> NDArray[np.float64]:
    return np.sqrt(np.einsum("ij,ij->i", differences, differences))
