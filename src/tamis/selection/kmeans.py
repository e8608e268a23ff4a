"""One structure for each k-means cluster."""

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from tamis.core.fields import Checked, Whole
from tamis.selection.base import Features, Indices, Pruner, Shape
from tamis.selection.distance import by_distance
from tamis.selection.greedy import first_of_equals, medoids


@dataclass(frozen=True)
class KMeansMedoids(Checked, Pruner):
    """The structure nearest to the mean of each of as many k-means clusters as structures are wanted.

    Large clusters come first. Equal vectors, such as those of strains that symmetry makes equivalent, count once: they
    add nothing, and k-means takes ten times as long with them. If fewer vectors differ than structures are wanted,
    farthest point sampling adds the rest.

    n_init: number of starts of k-means; the best result is kept.
    """

    n_init: Annotated[int, Whole(1)]
    nested: ClassVar[bool] = False
    uses_distances_alone: ClassVar[bool] = True

    def working(self, vectors: Shape, environments: Shape) -> int:
        """Two copies, one of them made by scikit-learn for the variances; and centres, at most one for each vector."""
        return 4 * vectors[0] * vectors[1]

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        distinct = first_of_equals(features.vectors)
        vectors = features.vectors[distinct]
        n_clusters = min(n_structures, len(distinct))
        seed = int(rng.integers(2**31))
        with warnings.catch_warnings():
            # Where vectors nearly agree there may be fewer clusters; by_distance then adds the rest.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # copy_x=False: they are a copy already, and a million of them are half a gigabyte
            means = KMeans(n_clusters, n_init=self.n_init, random_state=seed, copy_x=False)
            labels = means.fit(vectors).labels_
        chosen = distinct[medoids(vectors, labels, rng)]
        return by_distance(features.vectors, chosen, n_structures, farthest=True)
