"""Random structures in the proportions of the data's groups: the stronger baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.selection.base import Features, Indices, Pruner


@dataclass(frozen=True)
class Stratified(Pruner):
    """Random within groups; every prefix has each group's share to within less than one structure.

    The next group follows from Tijdeman's chairman assignment (Discrete Math. 32, 323 (1980)): among the groups whose
    share is due, the one with the earliest deadline. Rounding each group's share by largest remainders would be as
    close for one size, but choices for different sizes would not be prefixes of each other.
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
    """The groups of the 1st, 2nd, ... n-th structure; in whole numbers, so that ties are exact.

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
