"""DIRECT: dimensionality reduction, clustering, stratified sampling."""

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from tamis.core.fields import Above, Checked
from tamis.selection.base import Array, Features, Indices, Pruner, Shape
from tamis.selection.components import PrincipalAxes, column_squares, numbers_for_components
from tamis.selection.distance import by_distance
from tamis.selection.greedy import first_of_equals, medoids


@dataclass(frozen=True)
class Direct(Checked, Pruner):
    """Strata by BIRCH on weighted principal components, one structure from each.

    The method of Qi et al., npj Comput. Mater. 10, 43 (2024): structure vectors are scaled to unit variance, projected
    on the principal components of variance above 1 (Kaiser's rule), each weighted by its part of the variance, and
    clustered into as many strata as structures are wanted; BIRCH's threshold is lowered until there are enough. The
    structure nearest to the mean of each stratum is kept, large strata first. Where fewer vectors differ than
    structures are wanted, farthest point sampling adds the rest.

    threshold: first radius of BIRCH's subclusters, in the units of the weighted components; 0.5 in the paper's code.
    """

    threshold: Annotated[float, Above(0, say=0.5)]
    nested: ClassVar[bool] = False

    def working(self, vectors: Shape, environments: Shape) -> int:
        """Components, their copies, the tree of BIRCH, and the axes."""
        n, width = vectors
        return 2 * n * min(n, width) + numbers_for_components(n, width)

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        components = weighted_components(features.vectors)
        distinct = first_of_equals(components)
        strata = birch_strata(components[distinct], min(n_structures, len(distinct)), self.threshold)
        chosen = distinct[medoids(components[distinct], strata, rng)]
        return by_distance(features.vectors, chosen, n_structures, farthest=True)


def weighted_components(vectors: Array) -> Array:
    """Principal components of variance above 1 of the scaled vectors, times their part of the variance."""
    n, mean = len(vectors), vectors.mean(axis=0)
    deviation = np.sqrt(column_squares(vectors, mean) / n)
    varies = deviation > n * np.finfo(np.float64).eps * np.abs(mean)  # a constant column has some rounding
    if not varies.any():
        return np.zeros_like(vectors)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    found = PrincipalAxes.of(vectors, mean, scale)
    variances = found.squares / max(1, n - 1)
    # The largest variance is above the mean one; the floor of 1 is for rounding and columns that do not vary.
    kept = max(1, int(np.sum(variances > 1.0)))
    return found.components(kept) * (variances[:kept] / variances.sum())


def birch_strata(points: Array, n_strata: int, threshold: float) -> Indices:
    """Stratum of each point, (n,): ``n_strata`` of them (1 <= n_strata <= number of different points)."""
    from sklearn.cluster import AgglomerativeClustering, Birch
    from sklearn.exceptions import ConvergenceWarning

    if n_strata == len(points):
        return np.arange(n_strata, dtype=np.intp)
    if n_strata == 1:
        return np.zeros(len(points), dtype=np.intp)
    with warnings.catch_warnings():
        # Too few subclusters at the first thresholds is what the loop is for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(60):
            tree = Birch(threshold=threshold, n_clusters=None).fit(points)
            if len(tree.subcluster_centers_) >= n_strata:
                break
            threshold *= 0.5
    labels = tree.predict(points)
    if len(tree.subcluster_centers_) > n_strata:
        labels = AgglomerativeClustering(n_strata).fit(tree.subcluster_centers_).labels_[labels]
    # Rounding decides how the strata are numbered, so they are numbered anew by their first points.
    _, first, names = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[names], dtype=np.intp)
