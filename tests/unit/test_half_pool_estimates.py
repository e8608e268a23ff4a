"""Verdicts of the protocol: relations, and how often they are wrong on made-up effects."""

import numpy as np
import pytest

from tamis.analysis.contrasts import Effect
from tamis.analysis.half_pools.answers import BETTER, EQUIVALENT, NOT_DECIDED, WORSE, AssignmentRank
from tamis.analysis.half_pools.estimates import estimate_of, verdict_of
from tamis.analysis.halves import of_half_pools, over_fixed

FIRST, MIDDLE = AssignmentRank(1, 120, 2 / 120), AssignmentRank(60, 120, 1.0)


def test_an_estimate_is_the_effect_as_ratios():
    found = estimate_of("Si", Effect(-0.05, 0.02, 6.0, 6, np.inf))
    assert found.ratio == pytest.approx(np.exp(-0.05))
    assert found.low < found.low90 < found.ratio < found.high90 < found.high
    assert found.low * found.high == pytest.approx(found.ratio**2)
    assert found.smallest_visible > found.high / found.ratio  # 80 % power asks for more than half a width


@pytest.mark.parametrize(
    ("estimate", "error", "rank", "verdict"),
    [
        (-0.10, 0.01, FIRST, BETTER),
        (-0.10, 0.01, None, BETTER),
        (0.10, 0.01, FIRST, WORSE),
        (-0.10, 0.01, MIDDLE, NOT_DECIDED),
        (0.0, 0.005, MIDDLE, EQUIVALENT),
        (0.0, 0.03, None, NOT_DECIDED),
        (0.0, np.nan, None, NOT_DECIDED),
    ],
)
def test_verdicts(estimate, error, rank, verdict):
    assert verdict_of(Effect(estimate, error, 6.0, 6, np.inf), 0.03, rank) == verdict


def claimed(truth: float, verdicts: tuple[str, ...], n: int = 2000) -> float:
    """How often these are the verdicts: four elements, whose 40 structures six repetitions deal into halves."""
    rng = np.random.default_rng(11)
    structures = rng.normal(truth, 0.1, size=(n, 4, 40))
    dealt = np.stack([rng.permuted(structures, axis=-1).reshape(n, 4, 2, 20) for _ in range(6)], axis=2)
    halves = dealt.mean(axis=-1)  # (n, 4, 6, 2)
    found = [verdict_of(over_fixed([of_half_pools(e) for e in study]), 0.03, None) for study in halves]
    return float(np.mean([verdict in verdicts for verdict in found]))


def test_error_rates_stay_below_their_level():
    assert claimed(0.0, (BETTER, WORSE)) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert claimed(np.log(1.03), (EQUIVALENT,)) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert claimed(-0.05, (BETTER,)) > 0.8
