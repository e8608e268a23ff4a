"""The rule by which fits choose their settings, on scores that are made up."""

import numpy as np
import pytest

from tamis.models.grids import Axis, Losses, choose

N_FOLDS = 5
WEIGHTS = Axis.of((5.0, 20.0, 80.0), 0.01, 1e4)
RIDGES = Axis.of((1e-10, 1e-7, 1e-4), 1e-14, 1.0)


def log_root_mean_squares(squares, rows):
    labelled = rows > 0
    return 0.5 * np.log(squares[labelled] / rows[labelled, None]).sum(axis=0)


def judge_of(score, noise=lambda point: np.zeros(N_FOLDS)):
    """Squared errors of one kind whose score is ``score`` of a point, the folds' own logarithms apart by ``noise``."""

    def judge(points):
        asked.extend(points)
        logs = np.array([score(point) + noise(point) for point in points]).T  # (n_folds, n)
        return Losses(np.exp(2 * logs)[:, None, :] * 3.0, np.full((N_FOLDS, 1), 3.0), log_root_mean_squares)

    asked = judge.asked = []
    return judge


def away_from(*optimum):
    """A score that grows by a tenth for each factor of e away from the optimum, in each parameter."""
    return lambda point: 0.1 * sum(abs(np.log(a / b)) for a, b in zip(point, optimum, strict=True))


def test_a_grid_around_the_optimum_is_left_as_it_is():
    judge = judge_of(away_from(20.0, 1e-7))
    choice = choose((WEIGHTS, RIDGES), 4, judge)
    assert (choice.point, choice.rounds, choice.tried, choice.at_edge) == ((20.0, 1e-7), 0, 9, 0)
    assert choice.score == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("optimum", "rounds"), [(80.0, 1), (1280.0, 3), (1.25, 2), (5.0, 1)])
def test_a_grid_widens_by_its_own_ratio_until_the_choice_is_inside(optimum, rounds):
    judge = judge_of(away_from(optimum, 1e-7))
    choice = choose((WEIGHTS, RIDGES), 4, judge)
    assert choice.point == pytest.approx((optimum, 1e-7))
    assert (choice.rounds, choice.tried, choice.at_edge) == (rounds, 9 + 3 * rounds, 0)
    assert len(judge.asked) == len(set(judge.asked)) == choice.tried  # nothing is judged twice


def test_both_axes_widen_in_one_round():
    choice = choose((WEIGHTS, RIDGES), 4, judge_of(away_from(80.0, 1e-4)))
    assert (choice.rounds, choice.tried, choice.at_edge) == (1, 16, 0)


def test_rounds_are_the_most_that_are_spent():
    choice = choose((WEIGHTS, RIDGES), 2, judge_of(away_from(1e9, 1e-7)))
    assert choice.point == pytest.approx((1280.0, 1e-7))
    assert (choice.rounds, choice.tried, choice.at_edge) == (2, 15, 1)


def test_no_grid_widens_beyond_its_limits():
    """1e-13 is the last ridge at this ratio that is not below 1e-14; nothing is smaller than a weight of 0."""
    choice = choose((WEIGHTS, RIDGES), 9, judge_of(away_from(20.0, 1e-30)))
    assert choice.point == pytest.approx((20.0, 1e-13))
    assert (choice.rounds, choice.at_edge) == (1, 1)
    zero = Axis.of((0.0, 1.0, 2.0), 0.01, 1e4)
    choice = choose((zero,), 9, judge_of(lambda point: point[0]))
    assert (choice.point, choice.rounds, choice.at_edge) == ((0.0,), 0, 1)


def test_one_value_is_a_decision_of_the_user():
    choice = choose((Axis.of((3.0,), 0.01, 1e4), RIDGES), 4, judge_of(away_from(1e4, 1e-7)))
    assert (choice.point, choice.rounds, choice.at_edge) == ((3.0, 1e-7), 0, 0)


def test_two_values_widen_to_the_side_of_the_better():
    choice = choose((Axis.of((1.0, 2.0), 0.01, 1e4),), 4, judge_of(away_from(2.0)))
    assert (choice.point, choice.rounds, choice.tried) == ((2.0,), 1, 3)


def folds_that_disagree(point):
    """The edge is better by 0.04 on the whole, by three folds of five; the middle in the other two."""
    return np.array([-0.6, -0.5, -0.4, 0.6, 0.7]) if point[0] == 80.0 else np.zeros(N_FOLDS)


@pytest.mark.parametrize(("noise", "wanted"), [(folds_that_disagree, 20.0), (None, 80.0)])
def test_an_edge_wins_only_by_more_than_the_standard_error(noise, wanted):
    """Where all folds agree, a difference of 0.04 is one; where they do not, it is luck."""
    levels = {5.0: 0.3, 20.0: 0.04, 80.0: 0.0, 320.0: 0.3}

    def score(point):
        level = levels[round(point[0], 6)]
        if noise is not None and point[0] == 80.0:  # so that the sum of squares is what the level says
            level -= 0.5 * np.log(np.mean(np.exp(2 * folds_that_disagree(point))))
        return level

    choice = choose((WEIGHTS,), 4, judge_of(score, noise or (lambda point: np.zeros(N_FOLDS))))
    assert choice.point == (wanted,)


def test_a_plateau_is_settled_in_the_middle():
    """Ridges that change a score by less than two hundredths are equal, though every fold says the same."""
    choice = choose((WEIGHTS, RIDGES), 4, judge_of(lambda p: away_from(20.0)(p[:1]) + 1e-4 * np.log10(p[1])))
    assert (choice.point, choice.rounds) == ((20.0, 1e-7), 0)


def test_standard_error_is_the_jackknife():
    rng = np.random.default_rng(0)
    sums, rows = rng.uniform(1.0, 2.0, size=(4, 3, 2)), rng.integers(3, 9, size=(4, 3)).astype(float)
    losses = Losses(sums, rows, log_root_mean_squares)
    left_out = []
    for k in range(4):
        rest = [i for i in range(4) if i != k]
        rmse = np.sqrt(sums[rest].sum(axis=0) / rows[rest].sum(axis=0)[:, None])
        left_out.append(np.log(rmse[:, 1]).sum() - np.log(rmse[:, 0]).sum())
    expected = np.sqrt(3 / 4 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    assert losses.standard_errors(0) == pytest.approx([0.0, expected])


def test_one_fold_knows_no_error_and_leaves_the_middle():
    def judge(points):
        sums = np.array([[[1.0 if point[0] == 80.0 else 9.0 for point in points]]])
        return Losses(sums, np.ones((1, 1)), log_root_mean_squares)

    assert choose((WEIGHTS,), 4, judge).point == (20.0,)


def test_settings_without_a_solution_are_not_chosen():
    def judge(points):
        sums = np.array([[[np.inf if point[0] < 80.0 else 1.0 for point in points]]] * 3)
        return Losses(sums, np.ones((3, 1)), log_root_mean_squares)

    choice = choose((WEIGHTS,), 4, judge)
    assert (choice.point, choice.rounds, choice.at_edge) == ((80.0,), 1, 0)
    none = choose(
        (WEIGHTS,),
        4,
        lambda points: Losses(np.full((3, 1, 3), np.inf), np.ones((3, 1)), log_root_mean_squares),
    )
    assert none is None
