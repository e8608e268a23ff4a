"""Random structures in the proportions of the data's groups: the honest baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.selection.base import Features, Indices, Pruner


@dataclass(frozen=True)
class Stratified(Pruner):
    """Random within groups; every prefix has each group's share to within less than one structure.

    Which group is next follows Tijdeman's chairman assignment (Discrete Math. 32, 323 (1980)): of the groups
    whose share is due, the one whose deadline comes first. Rounding each group's share by largest
    remainders would be as close for one size, but its choices for different sizes are not prefixes of each other.
    """

    nested: ClassVar[bool] = True
    needs_descriptor: ClassVar[bool] = False

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        groups = np.array(features.groups)
        # Shuffled names: the seed decides between groups that are equally due.
        names = rng.permutation(sorted(set(features.groups)))
        members = [rng.permutation(np.flatnonzero(groups == name)) for name in names]
        turns = _turns(np.array([len(m) for m in members]), n_structures)
        queues = [iter(m) for m in members]
        return np.array([next(queues[g]) for g in turns], dtype=np.intp)


def _turns(sizes: Indices, n: int) -> list[int]:
    """Which group gives the 1st, 2nd, ... n-th structure; in whole numbers, so that ties are exact.

    With k groups of ``sizes`` s_g in N structures, g may be chosen t-th if its deficit t s_g / N - taken_g is at least
    1 / (2k - 2); of these the smallest (1 - 1 / (2k - 2) - deficit) / s_g wins. Then |taken_g - t s_g / N| < 1.
    """
    if len(sizes) == 1:
        return [0] * n
    total, d = int(sizes.sum()), 2 * len(sizes) - 2
    taken = np.zeros_like(sizes)
    turns = []
    for t in range(1, n + 1):
        deficit = d * (t * sizes - taken * total)
        deadline = ((d - 1) * total - deficit) / sizes
        g = int(np.argmin(np.where(deficit >= total, deadline, np.inf)))
        taken[g] += 1
        turns.append(g)
    return turns
