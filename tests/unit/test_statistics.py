"""The statistics of the report: areas, the crossed bootstrap, corrections, the test of the hypothesis."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom
from tests.synthetic_study import World, resampled

from tamis.analysis import hypothesis as assignment
from tamis.analysis.contrasts import contrast, holm, mean_effect, own_against_others
from tamis.analysis.endpoint import Range, area_weights, common_range, interpolation
from tamis.analysis.hypothesis import (
    ALPHA,
    BETTER,
    NOT_SHOWN,
    UNDECIDABLE,
    WORSE,
    Arm,
    Verdict,
    judge,
    outcome_of,
    own_assignment,
)
from tamis.analysis.mean_curves import factor
from tamis.analysis.resampling import Curves, cells, codes, draw_counts, log_errors
from tamis.core.errors import TamisError
from tamis.report.words import factor_words

ATOMS = np.array([30.0, 50.0, 110.0, 190.0, 360.0, 480.0, 1000.0])


# the endpoint


def test_the_area_of_a_power_law_is_its_value_at_the_middle():
    span = Range(30.0, 500.0)
    logs = 0.7 - 0.4 * np.log(ATOMS)
    assert area_weights(ATOMS, span) @ logs == pytest.approx(0.7 - 0.4 * np.log(np.sqrt(30.0 * 500.0)))


def test_the_area_is_the_trapezoid_of_the_interpolated_curve():
    rng = np.random.default_rng(0)
    logs, span = rng.normal(size=7), Range(40.0, 470.0)
    x = np.linspace(np.log(span.low), np.log(span.high), 65)
    expected = np.trapezoid(np.interp(x, np.log(ATOMS), logs), x) / (x[-1] - x[0])
    assert area_weights(ATOMS, span) @ logs == pytest.approx(expected)


def test_points_outside_of_the_range_do_not_count():
    weights = area_weights(ATOMS, Range(60.0, 340.0))
    assert weights[0] == weights[-1] == weights[-2] == 0.0 and weights.sum() == pytest.approx(1.0)


def test_a_curve_is_never_extrapolated():
    with pytest.raises(TamisError, match="30 to 1000 atoms cannot be read from 20"):
        interpolation(ATOMS, np.array([20.0, 100.0]))


def test_the_range_is_the_planned_one_where_curves_reach_it():
    span, covers = common_range([ATOMS, ATOMS * 0.99], 1000.0)
    assert (span.low, span.high) == (30.0, 500.0) and covers.all() and span.covers(30.0, 500.0)


def test_a_few_unfinished_curves_are_left_out_and_many_shorten_the_range():
    span, covers = common_range([ATOMS] * 9 + [ATOMS[:3]], 1000.0)
    assert covers.tolist() == [True] * 9 + [False] and span.high == 500.0
    span, covers = common_range([ATOMS] * 6 + [ATOMS[:5]] * 4, 1000.0)
    assert covers.all() and span.high == 360.0 and not span.covers(30.0, 500.0)


def test_curves_that_have_all_their_points_are_never_left_out():
    """One budget in structures is more atoms for one way of choosing than for another."""
    pruned, random = np.array([140.0, 260.0, 450.0]), np.array([215.0, 300.0, 480.0])
    span, covers = common_range([pruned] * 25 + [random] * 5, 1000.0)
    assert covers.all() and (span.low, span.high) == (215.0, 450.0)


def test_single_budgets_are_compared_as_they_are():
    span, covers = common_range([np.array([100.0]), np.array([104.0])], 1000.0)
    assert span.is_point and covers.all() and area_weights(np.array([104.0]), span).tolist() == [1.0]


def test_curves_without_common_sizes_have_no_range():
    assert common_range([np.array([10.0, 20.0]), np.array([100.0, 200.0])], 1000.0)[0] is None
    assert common_range([], 1000.0)[0] is None


# the bootstrap


def small_curves(rng: np.random.Generator) -> Curves:
    """2 arms, 3 seeds, two draws of arm 0 in seed 0; 6 structures in 3 blocks."""
    arms, seeds = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 0, 2])
    return Curves(
        errors=rng.uniform(0.5, 2.0, (6, 2, 6)),
        point_weights=np.tile([0.25, 0.75], (6, 1)),
        structure_weights=np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0]),
        blocks=np.array([0, 0, 1, 1, 2, 2]),
        arms=arms,
        seeds=seeds,
    )


def test_cells_equal_what_loops_give():
    rng = np.random.default_rng(1)
    curves = small_curves(rng)
    counts = draw_counts(3, 4, rng)
    found = cells(curves, counts)
    for arm, seed, draw in itertools.product(range(2), range(3), range(5)):
        values = []
        for k in np.flatnonzero((curves.arms == arm) & (curves.seeds == seed)):
            structures = [s for s in range(6) for _ in range(int(counts[draw, curves.blocks[s]]))]
            weights = curves.structure_weights[structures]
            means = [np.average(curves.errors[k, p, structures], weights=weights) for p in range(2)]
            values.append(0.25 * np.log(means[0]) + 0.75 * np.log(means[1]))
        expected = np.mean(values) if values else np.nan
        assert found[arm, seed, draw] == pytest.approx(expected, nan_ok=True)


def test_draws_keep_the_number_of_units_and_begin_with_the_data():
    counts = draw_counts(5, 50, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 5).all() and (counts[0] == 1).all() and (counts[1:] != 1).any()


def test_errors_of_zero_have_a_logarithm_all_the_same():
    assert np.isfinite(log_errors(np.zeros((1, 2)), np.ones(2), np.arange(2), np.ones((1, 2)))).all()


def test_one_block_that_makes_the_error_is_one_block():
    curves = small_curves(np.random.default_rng(2))
    even = Curves(
        np.ones((6, 2, 6)), curves.point_weights, np.ones(6), curves.blocks, curves.arms, curves.seeds
    )
    assert even.effective_blocks() == pytest.approx(3.0)
    heavy = Curves(
        np.ones((6, 2, 6)),
        curves.point_weights,
        np.array([1e6, 1e6, 1, 1, 1, 1]),
        curves.blocks,
        curves.arms,
        curves.seeds,
    )
    assert heavy.effective_blocks() == pytest.approx(1.0, abs=1e-4)


def test_a_contrast_takes_the_seeds_that_both_sides_have():
    rng = np.random.default_rng(3)
    curves = small_curves(rng)
    values = cells(curves, draw_counts(3, 50, rng))
    effect = contrast(values, np.array([1.0, -1.0]), draw_counts(3, 50, rng), 3.0)
    expected = np.mean([values[0, r, 0] - values[1, r, 0] for r in (0, 2)])
    assert effect.estimate == pytest.approx(expected) and effect.n_seeds == 2 and not effect.enough


def test_the_error_of_a_contrast_is_that_of_seeds_and_blocks_together():
    """Known variances: differences r_s + b_t of 20 seeds and 20 blocks, by linear errors so that logs are exact."""
    rng = np.random.default_rng(4)
    n, spread_seeds, spread_blocks = 20, 0.3, 0.2
    by_seed, by_block = rng.normal(0, spread_seeds, n), rng.normal(0, spread_blocks, n)
    block_counts, seed_counts = draw_counts(n, 4000, rng), draw_counts(n, 4000, rng)
    values = np.zeros((2, n, 4001))
    values[0] = by_seed[:, None] + (block_counts @ by_block / n)[None]
    effect = contrast(values, np.array([1.0, -1.0]), seed_counts, float(n))
    expected = np.sqrt((by_seed.var(ddof=1) + by_block.var(ddof=1)) / n)
    assert effect.error == pytest.approx(expected, rel=0.05)
    assert effect.estimate == pytest.approx(by_seed.mean() + by_block.mean())


def test_without_a_common_seed_there_is_no_number_and_with_one_no_interval():
    values = np.zeros((2, 2, 9))
    values[0, 0], values[1, 1] = np.nan, np.nan
    counts = draw_counts(2, 8, np.random.default_rng(0))
    assert np.isnan(contrast(values, np.array([1.0, -1.0]), counts, 5.0).estimate)
    one = contrast(values[:, :1], np.array([0.0, 1.0]), counts[:, :1], 5.0)
    assert one.estimate == 0.0 and np.isnan(one.error) and not one.enough


def test_weights_of_a_contrast_sum_to_zero():
    weights = own_against_others(1, [0, 3], 4)
    assert weights.tolist() == [-0.5, 1.0, 0.0, -0.5]


def test_holm_is_never_below_the_p_value_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_holm_counts_questions_without_an_answer():
    found = holm([0.03, np.nan])
    assert found[0] == pytest.approx(0.06) and np.isnan(found[1])


def test_elements_are_the_units_across_elements():
    effect = mean_effect([0.1, 0.2, 0.3])
    low, high = effect.interval()
    assert effect.estimate == pytest.approx(0.2) and low < 0 < high  # t with two degrees of freedom
    assert np.isnan(mean_effect([0.1]).error) and np.isnan(mean_effect([]).estimate)


def test_codes_number_labels_by_their_first_occurrence():
    numbers, names = codes(["b", "a", "b"])
    assert numbers.tolist() == [0, 1, 0] and names == ["b", "a"]


# whether being own matters


def test_the_best_of_all_assignments_has_the_smallest_p():
    matrix = np.ones((3, 4))
    matrix[[0, 1, 2], [0, 1, 2]] = 0.0
    found = own_assignment(matrix, {0: 0, 1: 1, 2: 2}, np.random.default_rng(0))
    assert found.n == 24 and found.p == found.smallest == pytest.approx(1 / 24)
    worst = own_assignment(-matrix, {0: 0, 1: 1, 2: 2}, np.random.default_rng(0))
    assert worst.p == 1.0


def test_descriptors_that_are_good_for_everyone_and_models_that_are_bad_do_not_count():
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(4, 5))
    own = dict(enumerate(range(4)))
    plain = own_assignment(matrix, own, rng)
    shifted = own_assignment(matrix + 3.0 * rng.normal(size=(1, 5)) + rng.normal(size=(4, 1)), own, rng)
    assert shifted.p == plain.p and shifted.estimate == pytest.approx(plain.estimate)


def test_p_of_assignments_is_uniform_where_own_means_nothing():
    rng = np.random.default_rng(6)
    p = [own_assignment(rng.normal(size=(3, 3)), {0: 0, 1: 1, 2: 2}, rng).p for _ in range(300)]
    assert set(np.round(np.multiply(p, 6)).astype(int)) == {1, 2, 3, 4, 5, 6}
    for rank in range(1, 6):
        assert binom.cdf(sum(x <= rank / 6 + 1e-9 for x in p), 300, rank / 6) < 0.9999


def test_too_many_assignments_are_drawn(monkeypatch):
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(4, 5))
    exact = own_assignment(matrix, dict(enumerate(range(4))), rng)
    monkeypatch.setattr(assignment, "MOST", 100)
    drawn = own_assignment(matrix, dict(enumerate(range(4))), rng)
    assert exact.n == 120 and drawn.n == 101 and drawn.p == pytest.approx(exact.p, abs=0.2)


@pytest.mark.parametrize(
    ("matrix", "own"),
    [
        (np.zeros((1, 4)), {0: 0}),
        (np.zeros((2, 4)), {0: 1, 1: 1}),
        (np.array([[0.0, np.nan], [0.0, 0.0]]), {0: 0, 1: 1}),
    ],
    ids=["one model", "two with one descriptor", "a gap"],
)
def test_what_cannot_be_asked_gets_no_answer(matrix, own):
    assert own_assignment(matrix, own, np.random.default_rng(0)) is None


# data efficiency


def test_a_curve_that_needs_half_the_atoms_has_the_factor_two():
    grid = np.geomspace(10.0, 1000.0, 50)
    baseline = -0.5 * np.log(grid)[:, None] + np.zeros((1, 5))
    found = factor(grid, baseline - 0.5 * np.log(2.0), baseline, 100.0)
    assert found.value == pytest.approx(2.0, rel=1e-6) and found.beyond == ""
    assert found.low == pytest.approx(2.0) and found.high == pytest.approx(2.0)


def test_beyond_the_baselines_curve_the_factor_is_a_bound():
    grid = np.geomspace(10.0, 1000.0, 50)
    baseline = -0.5 * np.log(grid)[:, None] + np.zeros((1, 5))
    better, worse = (factor(grid, baseline + shift, baseline, 100.0) for shift in (-9.0, 9.0))
    assert (better.beyond, better.value) == ("more", pytest.approx(10.0))
    assert (worse.beyond, worse.value) == ("less", pytest.approx(0.1))


def test_the_interval_of_a_factor_says_where_the_baselines_curve_ends():
    grid = np.geomspace(10.0, 1000.0, 50)
    baseline = -0.5 * np.log(grid)[:, None] + np.zeros((1, 41))
    shifts = np.linspace(-3.0, 3.0, 41)  # draws from far better to far worse than anything on the curve
    found = factor(grid, baseline - np.r_[0.0, shifts[1:]], baseline, 100.0)
    assert found.reach == pytest.approx((0.1, 10.0))
    assert factor_words(found, True) == "1 (≤ 0.1 to ≥ 10)"
    inside = factor(grid, baseline - 0.05 * np.r_[0.0, shifts[1:]], baseline, 100.0)
    assert "≤" not in factor_words(inside, True) and "≥" not in factor_words(inside, True)


def test_a_bump_of_the_baseline_does_not_make_more_data_worse():
    grid = np.geomspace(10.0, 1000.0, 5)
    baseline = np.array([0.0, -1.0, -0.5, -2.0, -3.0])[:, None] + np.zeros((1, 3))
    found = factor(grid, np.full((5, 3), -0.9), baseline, grid[2])
    assert found.value < 1.0  # the baseline had this error before its bump


# the hypothesis


def outcome(verdict: Verdict) -> str:
    return outcome_of(verdict.pooled, verdict.p)


def outcomes(world: World, n: int, seed: int) -> list:
    found = []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        curves = world.curves(rng)
        values, seeds = resampled(curves, rng, 99)
        found.append(judge(values, world.arms, seeds, curves.effective_blocks(), rng))
    return found


def test_where_own_means_nothing_it_is_claimed_at_no_more_than_the_nominal_rate():
    claims = [outcome(v) in (BETTER, WORSE) for v in outcomes(World(), 500, seed=0)]
    assert sum(claims) <= binom.ppf(0.999, 500, ALPHA)


def test_a_planted_effect_is_found_in_its_direction():
    better, worse = (outcomes(World(gain=gain), 40, seed=1) for gain in (0.1, -0.1))
    assert sum(outcome(v) == BETTER for v in better) > 30
    assert sum(outcome(v) == WORSE for v in worse) > 30
    assert np.mean([v.pooled.estimate for v in better]) == pytest.approx(-0.1, abs=0.02)


def test_a_good_descriptor_is_no_own_effect():
    """One column better for every model, by far: the bootstrap finds its row, the assignment does not care."""
    world = World(n_seeds=8)
    rng = np.random.default_rng(8)
    values, seeds = resampled(world.curves(rng), rng, 200)
    values[[i for i, arm in enumerate(world.arms) if arm.descriptor == "family0"]] -= 1.0
    verdict = judge(values, world.arms, seeds, 30.0, rng)
    assert verdict.by_model["family0"].interval()[1] < 0 and outcome(verdict) == NOT_SHOWN


def test_intervals_of_single_models_hold_what_they_promise():
    """Without lasting tastes: the difference of the two is zero, and 95 % of the intervals hold it."""
    effects = [e for v in outcomes(World(taste=0.0), 60, seed=2) for e in v.by_model.values()]
    intervals = [e.interval() for e in effects]
    outside = sum(not low <= 0.0 <= high for low, high in intervals)
    assert outside <= binom.ppf(0.999, len(effects), 0.05)
    assert np.median([high - low for low, high in intervals]) < 0.3  # and they are intervals, not all numbers


@pytest.mark.slow
@pytest.mark.parametrize(
    "world", [World(), World(taste=0.0), World(worth=0.5, n_seeds=15, n_blocks=30, n_test=60)]
)
def test_the_rate_of_false_claims_in_many_draws(world):
    verdicts = outcomes(world, 2000, seed=3)
    assert sum(outcome(v) in (BETTER, WORSE) for v in verdicts) <= binom.ppf(0.999, 2000, ALPHA)


def test_one_question_alone_would_claim_too_much():
    """Why the verdict asks two: lasting tastes are found by any bootstrap that has seeds and test blocks enough."""
    verdicts = outcomes(World(worth=0.5, n_models=2, n_seeds=10, n_blocks=40, n_test=80), 40, seed=4)
    naive = [e.p < ALPHA for v in verdicts for e in v.by_model.values()]
    assert sum(naive) > binom.ppf(0.999, len(naive), ALPHA)
    assert {outcome(v) for v in verdicts} == {UNDECIDABLE}  # two models have two assignments


def test_what_is_missing_makes_the_question_undecidable():
    world = World(n_seeds=4)
    rng = np.random.default_rng(9)
    values, seeds = resampled(world.curves(rng), rng, 50)
    assert outcome(judge(values, world.arms, seeds, 1.5, rng)) == UNDECIDABLE  # test blocks
    assert outcome(judge(values[:, :2], world.arms, seeds[:, :2], 9.0, rng)) == UNDECIDABLE  # splits
    nobody = [Arm(arm.model, arm.descriptor, False) for arm in world.arms]
    assert judge(values, nobody, seeds, 9.0, rng).pooled is None
    gap = values.copy()
    gap[7] = np.nan
    assert outcome(judge(gap, world.arms, seeds, 9.0, rng)) == UNDECIDABLE
