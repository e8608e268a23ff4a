"""Intervals over half-pools hold what they promise, in made-up studies of which the truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tamis.analysis.contrasts import Effect
from tamis.analysis.halves import is_equivalent, of_half_pools, over_fixed, smallest_visible

Array = NDArray[np.float64]
N_STRUCTURES = 120
REPETITIONS = 6
STUDIES = 600


def study(truth: float, rng: np.random.Generator, noise: float = 0.0) -> Array:
    """Contrasts (R, 2) of one study: what a pool and a test set add to the truth are means over their structures."""
    in_pool, in_test = rng.normal(scale=0.3, size=(2, N_STRUCTURES))
    found = np.empty((REPETITIONS, 2))
    for row in found:
        order = rng.permutation(N_STRUCTURES)
        halves = order[: N_STRUCTURES // 2], order[N_STRUCTURES // 2 :]
        for h in (0, 1):
            row[h] = truth + in_pool[halves[h]].mean() + in_test[halves[1 - h]].mean()
    return found + rng.normal(scale=noise, size=found.shape) if noise else found


def studies(truth: float, noise: float = 0.0, n: int = STUDIES) -> list[Effect]:
    rng = np.random.default_rng(7)
    return [of_half_pools(study(truth, rng, noise)) for _ in range(n)]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_an_effect_that_is_not_there_is_claimed_in_a_twentieth_of_the_studies(noise):
    rate = np.mean([effect.p < 0.05 for effect in studies(0.0, noise)])
    assert rate < 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_dividing_by_the_repetitions_would_claim_far_too_much():
    """Guards the formula: the tempting one is wrong, and this study can tell."""
    effects = studies(0.0)
    too_small = [e.estimate**2 > (2.0 * e.error) ** 2 / REPETITIONS for e in effects]
    assert np.mean(too_small) > 0.2


def test_the_smallest_visible_effect_is_seen_in_four_fifths_of_the_studies():
    error = np.sqrt(np.mean([effect.error**2 for effect in studies(0.0)]))
    visible = smallest_visible(Effect(0.0, float(error), REPETITIONS, REPETITIONS, np.inf))
    assert np.mean([effect.p < 0.05 for effect in studies(visible)]) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("edge", [np.log(1.05), np.log(0.95)])
def test_equivalence_at_the_margin_is_claimed_in_a_twentieth_of_the_studies_at_most(edge):
    rng = np.random.default_rng(3)
    claimed = [
        is_equivalent(of_half_pools(edge + 0.25 * (study(0.0, rng))), margin=0.05) for _ in range(STUDIES)
    ]
    assert 0.01 < np.mean(claimed) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_equivalence_is_claimed_where_it_is_plain():
    rng = np.random.default_rng(4)
    claimed = [is_equivalent(of_half_pools(0.1 * study(0.0, rng)), margin=0.05) for _ in range(100)]
    assert np.mean(claimed) > 0.95


def test_the_mean_over_elements_has_the_errors_of_all():
    rng = np.random.default_rng(5)
    rates = []
    for _ in range(STUDIES):
        elements = [of_half_pools(scale * study(0.0, rng)) for scale in (0.5, 1.0, 1.5, 3.0)]
        rates.append(over_fixed(elements).p < 0.05)
    assert np.mean(rates) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_one_element_is_its_own_mean():
    effect = of_half_pools(study(0.1, np.random.default_rng(6)))
    alone = over_fixed([effect])
    assert (alone.estimate, alone.error, alone.freedom) == pytest.approx(
        (effect.estimate, effect.error, effect.freedom)
    )


def test_a_repetition_without_one_of_its_halves_does_not_count():
    contrasts = np.array([[0.1, 0.3], [np.nan, 5.0], [0.2, 0.2]])
    effect = of_half_pools(contrasts)
    assert effect.estimate == pytest.approx(0.2) and effect.n_seeds == 2 and effect.freedom == 2.0
    assert effect.error == pytest.approx(np.sqrt(0.04 / 2 / 4))
    assert not of_half_pools(np.full((2, 2), np.nan)).enough
