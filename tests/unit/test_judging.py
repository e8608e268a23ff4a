"""What a fit's choice rests on: forces that symmetry makes zero, and labels of one structure, choose nothing."""

from dataclasses import replace

import numpy as np
import pytest
from tests.copper import disguised, force_free, labelled, moved

from tamis.data.dealing import ALWAYS_TRAINED
from tamis.data.signal import negligible_error, root_mean_squares, still_force
from tamis.models.judging import ENERGY, FORCE, STRESS, Judges, judges_by_folds, judges_by_tuning


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def without_stress(data, but=()):
    stresses = np.full((len(data), 6), np.nan)
    stresses[list(but)] = data.stresses[list(but)]
    return replace(data, stresses=stresses)


def test_forces_that_symmetry_makes_zero_are_none():
    data = labelled(force_free(6) + moved(3))
    still = still_force(data.forces)
    assert (root_mean_squares(data.forces) > still).tolist() == [False] * 6 + [True] * 3
    assert negligible_error(still) < 1e-3 * root_mean_squares(data.forces).max()
    # of crystals alone there is no scale: rounding does not become one
    assert not (root_mean_squares(data.forces[:6]) > still_force(data.forces[:6])).any()


@pytest.mark.parametrize("seed", range(6))
def test_every_fold_that_stops_a_network_has_forces(seed):
    data = labelled(force_free(24) + moved(6))
    moving = np.arange(30) >= 24
    for n_used in (1, 3):
        found = judges_by_folds(data, 10, rng(seed), at_least=max(2, n_used), per_fold=3, n_used=n_used)
        assert all((moving & (found.folds == k)).any() for k in range(found.n_folds))
        assert found.kinds.all() and found.counts[FORCE] >= 2


@pytest.mark.parametrize("seed", range(4))
def test_few_forces_and_stresses_are_spread_over_the_folds(seed):
    data = labelled(force_free(20) + moved(5))
    data = without_stress(data, (0, 1, 2, 3, 4, 20))
    folds = judges_by_folds(data, 5, rng(seed)).folds
    assert sorted(folds[20:]) == list(range(5))
    assert np.bincount(folds).tolist() == [5] * 5
    assert len(set(folds[[0, 1, 2, 3, 4, 20]])) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_copies_share_a_fold(seed):
    data = labelled([disguised(atoms, rng(i), 1 + i % 2) for i, atoms in enumerate(5 * moved(6))])
    found = judges_by_folds(data, 5, rng(seed))
    assert all(len(set(found.folds[data.copies == k])) == 1 for k in range(6))
    assert found.counts.tolist() == [6, 6, 6] and found.report["folds"] == 5.0


def test_the_only_structure_with_forces_is_always_trained_on():
    data = labelled(force_free(8) + moved(1))
    found = judges_by_folds(data, 4, rng())
    assert found.folds[8] == ALWAYS_TRAINED and (found.folds[:8] != ALWAYS_TRAINED).all()
    assert found.kinds.tolist() == [True, False, True]
    assert "forces choose nothing" in found.problem


def test_crystals_alone_are_judged_by_energies():
    found = judges_by_folds(labelled(force_free(9)), 3, rng())
    assert found.n_folds == 3 and found.kinds.tolist() == [True, False, True]
    assert found.counts.tolist() == [9, 0, 9] and "forces choose nothing" in found.problem


def test_one_stress_label_chooses_nothing():
    data = labelled(moved(9))
    found = judges_by_folds(without_stress(data, (4,)), 3, rng())
    assert found.kinds.tolist() == [True, True, False]
    assert found.problem == "stresses are judged by 0 distinct structure(s)"
    assert judges_by_folds(without_stress(data), 3, rng()).problem == ""


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_small_sets_leave_out_one_at_a_time(n):
    found = judges_by_folds(labelled(moved(n)), 5, rng())
    assert sorted(found.folds) == list(range(n)) and found.counts.tolist() == [n, n, n]
    assert bool(found.problem) == (n == 2)


def test_copies_of_one_structure_judge_nothing():
    data = labelled(4 * moved(1))
    found = judges_by_folds(data, 5, rng())
    assert found.n_folds == 0 and not found.kinds.any()
    assert "chosen by 0 distinct structure(s)" in found.problem
    assert found.of_itself(data).kinds.all() and found.of_itself(data).counts[ENERGY] == 0


def test_a_tuning_set_is_judged_at_the_scale_of_what_is_kept():
    kept, tuning = labelled(moved(6)), labelled(force_free(4))
    found = judges_by_tuning(kept, tuning)
    assert found.n_folds == 0 and found.kinds.tolist() == [True, False, True]
    both = judges_by_tuning(kept, labelled(force_free(4) + moved(1, seed=3)))
    assert both.kinds.all() and both.problem == "forces are judged by 1 distinct structure(s)"


def test_whole_blocks_are_folds_where_there_are_enough():
    blocks = [f"run {k // 4}" for k in range(24)]
    data = replace(labelled(moved(24), None, blocks), blocks_whole=True)
    found = judges_by_folds(data, 3, rng())
    assert all(len(set(found.folds[4 * k : 4 * k + 4])) == 1 for k in range(6))
    assert found.report["folds_of_blocks"] == 1.0
    few = judges_by_folds(data.subset(np.arange(12)), 3, rng())
    assert few.n_folds == 3 and few.report["folds_of_blocks"] == 0.0


def test_rounding_changes_no_score_and_errors_do():
    """Factors of what is judged count, whatever the unit; what is not judged, or rounding, does not."""
    judges = Judges(np.zeros(3, dtype=np.intp), np.array([3, 3, 0]), np.array([True, True, False]), 1e-4, ())
    rows = np.array([3.0, 30.0, 6.0])
    squares = np.array([3 * 1e-6, 30 * 1e-2, 1.0])
    score = judges.score(squares, rows)
    assert judges.score(squares * [4.0, 1.0, 1.0], rows) - score == pytest.approx(np.log(2), rel=1e-5)
    assert judges.score(squares * [1.0, 4.0, 1.0], rows) - score == pytest.approx(np.log(2), rel=1e-5)
    assert judges.score(squares * [1.0, 1.0, 9.0], rows) == score
    tiny = [judges.score(np.array([squares[0], 30 * f**2, 0.0]), rows) for f in (1e-9, 1e-7)]
    assert tiny[0] == pytest.approx(tiny[1], abs=1e-5)
    many = judges.score(np.stack([squares, 4 * squares], axis=1), rows)
    assert many.shape == (2,) and many[1] - many[0] == pytest.approx(2 * np.log(2), rel=1e-5)
    assert judges.kinds[ENERGY] and not judges.kinds[STRESS]
