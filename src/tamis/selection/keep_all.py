"""The whole pool, the reference for every pruned set."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.core.errors import TamisError
from tamis.selection.base import Features, Indices, Pruner


@dataclass(frozen=True)
class KeepAll(Pruner):
    """Keeps every structure, in the order of the pool.

    It refuses a smaller budget. It is not nested, because a prefix of its choice would be a pruned set under the name
    of the whole pool.
    """

    nested: ClassVar[bool] = False
    needs_descriptor: ClassVar[bool] = False

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        if n_structures < len(features):
            raise TamisError(
                f"keep_all keeps all {len(features)} structures of the pool, but the budget allows fewer "
                f"({n_structures} structures, or their atoms); drop the budget (budget=all) or choose another pruner"
            )
        return np.arange(len(features), dtype=np.intp)
