"""The rank of the own assignment: against counting by hand, and what must not change it."""

from itertools import permutations

import numpy as np
import pytest

from tamis.analysis.half_pools.assignment import assignment_rank
from tamis.core.errors import TamisError

RNG = np.random.default_rng(3)


def test_it_is_the_count_of_assignments_that_are_as_good():
    """Sums of rows and columns are the same for all assignments, so that raw errors give the same order."""
    for _ in range(10):
        errors, own = RNG.normal(size=(3, 4, 4)), RNG.permutation(4)
        sums = {
            p: sum(errors[e, i, p[i]] for e in range(3) for i in range(4)) for p in permutations(range(4))
        }
        ours = sums[tuple(own)]
        low = sum(total <= ours + 1e-9 for total in sums.values())
        high = sum(total >= ours - 1e-9 for total in sums.values())
        found = assignment_rank(errors, own)
        assert (found.rank, found.of) == (low, 24)
        assert found.two_p == pytest.approx(min(1.0, 2 * min(low, high) / 24))


def test_models_descriptors_and_their_order_do_not_matter():
    errors, own = RNG.normal(size=(2, 5, 5)), np.arange(5)
    expected = assignment_rank(errors, own)
    assert assignment_rank(errors + RNG.normal(size=(2, 5, 1)) + RNG.normal(size=(2, 1, 5)), own) == expected
    order = RNG.permutation(5)
    assert assignment_rank(errors[:, order], own[order]) == expected
    assert assignment_rank(errors[::-1], own) == expected


def test_a_clear_own_effect_comes_first_and_its_opposite_last():
    errors = RNG.normal(scale=0.01, size=(4, 5, 5)) - 0.5 * np.eye(5)
    assert (assignment_rank(errors, range(5)).rank, assignment_rank(errors, range(5)).two_p) == (1, 2 / 120)
    assert assignment_rank(-errors, range(5)).rank == 120


def test_equal_errors_show_nothing():
    assert assignment_rank(np.ones((2, 3, 3)), range(3)).two_p == 1.0


@pytest.mark.parametrize(
    ("errors", "own"),
    [(np.ones((2, 3, 4)), [0, 1, 2]), (np.full((1, 2, 2), np.nan), [0, 1]), (np.ones((1, 2, 2)), [0, 0])],
)
def test_what_cannot_be_ranked_is_refused(errors, own):
    with pytest.raises(TamisError):
        assignment_rank(errors, own)
