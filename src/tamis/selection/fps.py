"""Farthest point sampling."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from tamis.core.fields import Checked, OneOf
from tamis.selection.base import Features, Indices, Pruner, Shape
from tamis.selection.distance import by_distance, working_numbers
from tamis.selection.greedy import central


@dataclass(frozen=True)
class FarthestPointSampling(Checked, Pruner):
    """Always the structure farthest from its nearest chosen one (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)).

    Its covering radius is at most twice the best possible for as many structures. scikit-matter's FPS gives the same
    order where distances differ clearly (a test); its own loop is used because scikit-matter refuses pools of
    one structure or one column and lets rounding decide between equal distances.

    start: ``center`` begins with the structure nearest to the mean of the pool and needs no random numbers;
        ``random`` begins with one drawn by the seed.
    """

    start: Annotated[str, OneOf("center", "random")]
    nested: ClassVar[bool] = True
    uses_distances_alone: ClassVar[bool] = True

    def working(self, vectors: Shape, environments: Shape) -> int:
        """The rows that are followed."""
        return working_numbers(*vectors)

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        vectors = features.vectors
        first = central(vectors) if self.start == "center" else int(rng.integers(len(features)))
        return by_distance(vectors, [first], n_structures, farthest=True)
