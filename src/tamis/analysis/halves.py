"""Effects over half-pools: intervals that say what another pool of the same size would have given.

A repetition deals the data into two halves; each is once the pool and once the test set. The two pools share no
structure, so their difference shows how much a result depends on the pool. Other repetitions deal the same structures
again. They make the estimate of that spread better, but they are no new data: the error of the mean is not divided by
their number (T. G. Dietterich, Neural Comput. 10, 1895 (1998); C. Nadeau and Y. Bengio, Mach. Learn. 52, 239 (2003)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # Student's t; scipy.stats takes a second to import

from tamis.analysis.contrasts import Effect

Array = NDArray[np.float64]

POWER = 0.8


def of_half_pools(contrasts: Array) -> Effect:
    """The effect in log errors, from those of each half-pool.

    Parameters
    ----------
    contrasts : (R, 2), one log ratio for each repetition and half; a row with NaN does not count.

    With s^2 the mean over repetitions of (e1 - e2)^2 / 2, the standard error of the mean is sqrt(s^2 / 2), with R
    degrees of freedom. The error is NaN where no repetition is complete.
    """
    whole = contrasts[np.isfinite(contrasts).all(axis=1)]
    n = len(whole)
    if n == 0:
        return Effect(np.nan, np.nan, np.nan, 0, np.inf)
    error = float(np.sqrt(np.mean((whole[:, 0] - whole[:, 1]) ** 2) / 4.0))
    return Effect(float(whole.mean()), error, float(n), n, np.inf)


def over_fixed(effects: Sequence[Effect]) -> Effect:
    """The mean of independent effects, such as those of several elements, as a statement on these alone.

    Degrees of freedom by B. L. Welch, Biometrika 34, 28 (1947) and F. E. Satterthwaite, Biometrics Bull. 2, 110 (1946).
    ``contrasts.mean_effect`` takes the elements as a sample of all elements instead.
    """
    n = len(effects)
    if n == 0:
        return Effect(np.nan, np.nan, np.nan, 0, np.inf)
    squares = np.array([effect.error**2 for effect in effects])
    freedoms = np.array([effect.freedom for effect in effects])
    total = float(squares.sum())
    freedom = total**2 / float((squares**2 / freedoms).sum()) if total > 0.0 else float(freedoms.sum())
    return Effect(
        float(np.mean([effect.estimate for effect in effects])),
        float(np.sqrt(total)) / n,
        freedom,
        min(effect.n_seeds for effect in effects),
        np.inf,
    )


def is_equivalent(effect: Effect, margin: float, level: float = 0.95) -> bool:
    """Whether the ratio of errors lies within 1 ± margin: two one-sided tests, each at 1 - level.

    Source: D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15, 657 (1987): the interval at the level 2 level - 1 lies
    within the margins.
    """
    low, high = effect.ratio_interval(2.0 * level - 1.0)
    return bool(1.0 - margin < low and high < 1.0 + margin)


def smallest_visible(effect: Effect, level: float = 0.95, power: float = POWER) -> float:
    """The log ratio that a study with this error would have shown in the part ``power`` of all cases."""
    return effect.error * float(stdtrit(effect.freedom, 0.5 + level / 2) + stdtrit(effect.freedom, power))
