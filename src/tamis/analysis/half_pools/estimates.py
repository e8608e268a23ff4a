"""Effects as the estimates that a report prints."""

from __future__ import annotations

import numpy as np

from tamis.analysis.contrasts import Effect
from tamis.analysis.half_pools.answers import BETTER, EQUIVALENT, NOT_DECIDED, WORSE, AssignmentRank, Estimate
from tamis.analysis.halves import is_equivalent, smallest_visible


def estimate_of(label: str, effect: Effect, level: float = 0.95) -> Estimate:
    """The ratio with its intervals; NaN where the effect has no error."""
    low, high = effect.ratio_interval(level)
    low90, high90 = effect.ratio_interval(2.0 * level - 1.0)
    visible = float(np.exp(smallest_visible(effect, level)))
    return Estimate(label, effect.ratio, low, high, low90, high90, effect.freedom, effect.n_seeds, visible)


def verdict_of(effect: Effect, margin: float, rank: AssignmentRank | None, level: float = 0.95) -> str:
    """Better or worse: the interval leaves out zero and, where there is a rank, its 2p is below 1 - level.

    Else equivalent, if the interval at the level 2 level - 1 lies within 1 ± margin; else not decided.
    """
    low, high = effect.interval(level)
    confirmed = rank is None or rank.two_p < 1.0 - level
    if confirmed and (high < 0.0 or low > 0.0):
        return BETTER if high < 0.0 else WORSE
    return EQUIVALENT if is_equivalent(effect, margin, level) else NOT_DECIDED
