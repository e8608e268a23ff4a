"""The least diverse structures, as a negative control."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.selection.base import Features, Indices, Pruner
from tamis.selection.distance import by_distance
from tamis.selection.greedy import central


@dataclass(frozen=True)
class Anti(Pruner):
    """Always the structure nearest to a chosen one: farthest point sampling with the sign turned.

    It begins like ``fps``, with the structure nearest to the mean, so the two differ in that sign only. If such a set
    trains as good a potential as a diverse one, the latent space is irrelevant to the model.
    """

    nested: ClassVar[bool] = True
    uses_distances_alone: ClassVar[bool] = True

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        return by_distance(features.vectors, [central(features.vectors)], n_structures, farthest=False)
