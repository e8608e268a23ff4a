"""Functions that pruners share: a stable argmax, equal vectors, medoids."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tamis.data.dataset import Array, Indices
from tamis.selection.rows import distances

Mask = NDArray[np.bool_]

TIE = 1e-9
"""Scores closer than this part of their scale are equal: rounding must not decide what is kept."""
FEWEST_ASKED = 16
"""Old scores that are renewed at once; where one step needs more, twice as many the next time."""


def first_largest(scores: Array, scale: float) -> int:
    """Index of the largest score; of those equal to it within ``TIE * scale`` the first."""
    return int(np.argmax(scores >= scores.max() - TIE * scale))


def lazy_largest(
    scores: Array,
    fresh: Mask,
    renew: Callable[[Indices], Array],
    scale: Callable[[float], float],
    n_asked: int = FEWEST_ASKED,
) -> int:
    """``first_largest`` of true scores; only those that may be the largest are computed.

    Scores that only fall as more is chosen are bounded from above by their old values (lazy evaluation: Minoux, Lect.
    Notes Control Inf. Sci. 7, 234 (1978)).

    Parameters
    ----------
    scores : (n,), true where ``fresh``, elsewhere upper bounds; minus infinity for chosen ones. Both are updated in
        place.
    renew : gives the true scores of some. scale : gives the scale on which scores near the given one are compared.
    n_asked : how many old scores are renewed first.
    """
    while True:
        best = float(scores[fresh].max(initial=-np.inf))
        margin = TIE * scale(best) if best > -np.inf else 0.0
        stale = np.flatnonzero(~fresh & (scores >= best - margin) & (scores > -np.inf))
        if len(stale) == 0:
            return first_largest(scores, scale(best))
        if len(stale) > n_asked:
            bounds = scores[stale]
            stale = stale[bounds >= np.partition(bounds, -n_asked)[-n_asked]]
        scores[stale] = renew(stale)
        fresh[stale] = True
        n_asked *= 2


def spread(vectors: Array) -> float:
    """Largest distance of a vector from the mean: the scale on which distances are compared."""
    return float(distances(vectors, vectors.mean(axis=0)).max())


def central(vectors: Array) -> int:
    """The vector nearest to the mean of all."""
    away = distances(vectors, vectors.mean(axis=0))
    return first_largest(-away, float(away.max()))


def first_of_equals(vectors: Array) -> Indices:
    """One index for every set of vectors that are equal up to rounding: its first, ascending."""
    grain = TIE * spread(vectors)
    if grain == 0.0:
        return np.zeros(1, dtype=np.intp)
    rounded = np.round((vectors - vectors.mean(axis=0)) / grain).astype(np.int64)
    rows = rounded.view(
        np.dtype((np.void, rounded.strides[0]))
    ).ravel()  # bytes of a row are compared as a whole
    return np.sort(np.unique(rows, return_index=True)[1]).astype(np.intp)


def medoids(vectors: Array, labels: Indices, rng: np.random.Generator) -> Indices:
    """The member of every cluster nearest to the cluster's mean; large clusters first, equally large ones shuffled.

    An atom budget cuts a choice at its end, so the representatives of most structures come first; and the order of the
    pool, which is often by group, must not decide between equals.
    """
    _, sizes = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    turns = np.lexsort((rng.permutation(len(sizes)), -sizes))
    return np.array([members[i][central(vectors[members[i]])] for i in turns], dtype=np.intp)
