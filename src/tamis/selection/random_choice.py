"""Random structures: the baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.selection.base import Features, Indices, Pruner


@dataclass(frozen=True)
class RandomChoice(Pruner):
    """Structures drawn without replacement, all equally likely."""

    nested: ClassVar[bool] = True
    needs_descriptor: ClassVar[bool] = False

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        # The whole permutation is drawn whatever n is, so that a smaller choice is a prefix of a larger one.
        return rng.permutation(len(features)).astype(np.intp)[:n_structures]
