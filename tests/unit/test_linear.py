import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from scipy.linalg import LinAlgError

from tamis.core.errors import TamisError
from tamis.core.packed import packed
from tamis.models.free_atoms import FreeAtoms
from tamis.models.judging import judges_by_folds
from tamis.models.linear import LinearModel
from tamis.models.normal_equations import (
    FewRows,
    RowBlock,
    Rows,
    Weights,
    gather_rows,
    solve,
    solve_checked,
    solve_ridges,
    solve_rows,
)
from tamis.models.tuning import Setting


@pytest.fixture
def model(snap_basis):
    return LinearModel(
        basis=snap_basis,
        energy_weights=(3.0, 30.0),
        stress_weights=(1.0,),
        ridges=(1e-10, 1e-6, 1e-3),
        widenings=2,
        tuning="kept",
        n_folds=4,
    )


@pytest.fixture
def exact(rattled, snap_basis, store):
    """The rattled cells labelled by known coefficients, so that a fit has an exact answer."""
    coefficients = np.random.default_rng(3).normal(size=snap_basis.n_features)
    rows = store.design(snap_basis, rattled.structures)
    return coefficients, replace(
        rattled,
        energies=np.array(
            [r.energy @ coefficients - 4.0 * n for r, n in zip(rows, rattled.n_atoms, strict=True)]
        ),
        forces=tuple(r.forces @ coefficients for r in rows),
        stresses=np.array(
            [r.strain_gradient @ coefficients / v for r, v in zip(rows, rattled.volumes, strict=True)]
        ),
    )


def rows_of(dataset, basis, store):
    return gather_rows(
        store.design(basis, dataset.structures), dataset, basis.elements, FreeAtoms.fitted(np.zeros(1))
    )


def predictions(rows, coefficients):
    blocks = rows.kinds(np.arange(len(rows.force)))
    return np.concatenate([block.times(coefficients) for kind in blocks for block in kind])


def test_labels_of_the_model_itself_are_recovered(exact, model, store):
    coefficients, dataset = exact
    potential = replace(model, ridges=(1e-14,)).fit(dataset, dataset, store, np.random.default_rng(0))
    said = potential.predict(dataset, store)
    np.testing.assert_allclose(said.energies, dataset.energies, rtol=1e-8)
    for got, wanted in zip(said.forces, dataset.forces, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    np.testing.assert_allclose(said.stresses, dataset.stresses, atol=1e-8)


@pytest.mark.parametrize("ridge", [1e-12, 1e-8, 1e-2])
def test_gram_solution_predicts_as_qr_of_the_rows_does(rattled, snap_basis, store, ridge):
    rows, everything, weights = (
        rows_of(rattled, snap_basis, store),
        np.arange(len(rattled)),
        Weights(10.0, 1.0),
    )
    by_gram, used_qr = solve_checked(rows, rows.terms(everything), everything, weights, ridge, 1)
    by_qr = solve_rows(rows, everything, weights, ridge, 1)
    assert not used_qr
    a, b = predictions(rows, by_gram), predictions(rows, by_qr)
    assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(b)


def test_qr_steps_in_where_the_gram_matrix_is_singular(rattled, snap_basis, store):
    """One structure and a ridge below rounding: the normal equations have no answer to trust."""
    rows, first, weights = rows_of(rattled, snap_basis, store), np.array([1]), Weights(10.0, 1.0)
    solution, used_qr = solve_checked(rows, rows.terms(first), first, weights, 1e-18, 1)
    assert used_qr and np.isfinite(solution).all()


def test_qr_of_the_rows_makes_no_copy_of_them():
    rng = np.random.default_rng(0)

    def few(per_structure, width):
        n = 100 * per_structure
        return FewRows(rng.normal(size=(n, width)), rng.normal(size=n), np.ones(n), per_structure)

    forces = (RowBlock(rng.normal(size=(600, 40)), rng.normal(size=600)) for _ in range(100))
    rows = Rows(few(1, 41), tuple(forces), few(6, 40))
    tracemalloc.start()
    solution = solve_rows(rows, np.arange(100), Weights(10.0, 1.0), 1e-14, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sum(block.matrix.nbytes for block in rows.force) / 10
    stacked = [
        (factor * np.pad(block.matrix, ((0, 0), (0, 41 - block.matrix.shape[1]))), factor * block.target)
        for block, factor in rows.weighted(np.arange(100), Weights(10.0, 1.0))
    ]
    matrix, target = (np.concatenate(part) for part in zip(*stacked, strict=True))
    np.testing.assert_allclose(solution, np.linalg.lstsq(matrix, target)[0], rtol=1e-9, atol=1e-12)


def test_terms_add_up_and_equal_the_rows(rattled, snap_basis, store):
    rows = rows_of(rattled, snap_basis, store)
    whole, left, right = (rows.terms(np.arange(a, b)) for a, b in ((0, 24), (0, 9), (9, 24)))
    c = np.random.default_rng(0).normal(size=rows.size)
    for name in ("energy", "force", "stress"):
        term = getattr(left + right, name)
        assert term.mean_square(c) == pytest.approx(getattr(whole, name).mean_square(c), rel=1e-10)
        assert getattr(whole - left, name).mean_square(c) == pytest.approx(
            getattr(right, name).mean_square(c), rel=1e-6
        )
    residuals = np.concatenate([b.times(c) - b.target for b in rows.force])
    assert whole.force.mean_square(c) == pytest.approx(np.mean(residuals**2), rel=1e-10)


@pytest.mark.parametrize("weights", [None, "some"])
def test_remembered_products_give_the_same_fit(rattled, model, store, weights):
    """A part after the whole adds up products that are remembered, whatever its weights and missing labels are."""
    remembering = replace(store, remember=True)
    given = rattled
    if weights:
        factors = np.random.default_rng(1).uniform(0.5, 2.0, (len(rattled), 3))
        factors[2] = 0.0
        forces = list(rattled.forces)
        forces[5] = np.full_like(forces[5], np.nan)
        given = replace(rattled, weights=factors, forces=tuple(forces))
    part, nothing = np.arange(3, 18), given.subset([])
    model.fit(given, nothing, remembering, np.random.default_rng(0))
    assert any("force_gram" in str(key) for key in remembering.memory.blocks)
    found, expected = (
        model.fit(given.subset(part), nothing, one, np.random.default_rng(0)) for one in (remembering, store)
    )
    ours, theirs = (one.predict(given, store) for one in (found, expected))
    np.testing.assert_allclose(ours.energies, theirs.energies, rtol=1e-9)
    np.testing.assert_allclose(
        np.concatenate(ours.forces), np.concatenate(theirs.forces), rtol=1e-6, atol=1e-9
    )


def test_solve_minimises_the_loss(rattled, snap_basis, store):
    rows, everything, weights = (
        rows_of(rattled, snap_basis, store),
        np.arange(len(rattled)),
        Weights(10.0, 2.0),
    )
    terms = rows.terms(everything)

    def loss(c):
        return (
            100 * terms.energy.mean_square(c) + terms.force.mean_square(c) + 4 * terms.stress.mean_square(c)
        )

    best = solve(*terms.combine(weights), 1e-14, 1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert loss(best) <= loss(best + 1e-3 * rng.normal(size=len(best)) * np.abs(best)) * (1 + 1e-10)


def test_a_settings_score_is_that_of_fits_to_the_other_folds(rattled, snap_basis, store, model):
    """All settings are scored together; here one by one, with solutions and errors from the rows."""
    model = replace(model, stress_weights=(0.5, 2.0))
    rows = rows_of(rattled, snap_basis, store)
    parts = [np.arange(k, len(rattled), 3) for k in range(3)]
    rests = [np.setdiff1d(np.arange(len(rattled)), part) for part in parts]
    judges = judges_by_folds(rattled, 3, np.random.default_rng(0))
    judged = [(rows.terms(r), [rows.terms(p)]) for r, p in zip(rests, parts, strict=True)]
    scores = model._losses(judged, model.grid, judges).scores
    assert len(scores) == len(model.grid)
    for setting, score in zip((Setting(*point) for point in model.grid), scores, strict=True):
        solutions = [solve_rows(rows, rest, setting.weights, setting.ridge, 1) for rest in rests]
        held_out = [rows.kinds(part) for part in parts]
        errors = [
            np.concatenate(
                [
                    b.times(c) - b.target
                    for c, kinds in zip(solutions, held_out, strict=True)
                    for b in kinds[kind]
                ]
            )
            for kind in range(3)
        ]
        expected = sum(0.5 * np.log(np.mean(e**2)) for e in errors)
        assert score == pytest.approx(expected, rel=1e-5)


def test_a_ridge_that_gives_no_solution_does_not_stop_the_others():
    indefinite, moment = np.array([[1.0, 2.0], [2.0, 1.0]], order="F"), np.array([1.0, 3.0])
    without, solution = solve_ridges(packed(indefinite), moment, (1e-10, 5.0), 0).T
    assert np.isnan(without).all()
    np.testing.assert_allclose((indefinite + 5.0 * np.eye(2)) @ solution, moment, rtol=1e-12)
    with pytest.raises(LinAlgError):
        solve(packed(indefinite), moment, 1e-10, 0)


def test_a_setting_without_a_solution_has_the_worst_score(rattled, snap_basis, store, model, monkeypatch):
    terms = rows_of(rattled, snap_basis, store).terms(np.arange(9))

    def without_the_first(*arguments):
        found = solve_ridges(*arguments)
        found[:, 0] = np.nan
        return found

    monkeypatch.setattr("tamis.models.linear.solve_ridges", without_the_first)
    judges = judges_by_folds(rattled, 3, np.random.default_rng(0))
    scores = model._losses([(terms, [terms])], model.grid, judges).scores
    assert np.isinf(scores).tolist() == [True, False, False] * 2


def test_the_only_forces_are_trained_on_in_every_fold(rattled, snap_basis, store, model):
    """All other cells are crystals: energies choose, and the record says so."""
    structures = [bulk("Si", "diamond", a=a) for a in np.linspace(5.2, 5.7, 8)]
    still = replace(
        rattled.subset(range(8)),
        structures=tuple(structures),
        energies=np.array([2 * (a.cell.volume / 40 - 1) ** 2 - 9.0 for a in structures]),
        forces=(np.zeros((2, 3)),) * 8,
    )
    both = replace(
        rattled.subset(range(9)),
        structures=(*still.structures, rattled.structures[0]),
        energies=np.append(still.energies, rattled.energies[0]),
        forces=(*still.forces, rattled.forces[0]),
    )
    for kept in (still, both):
        potential = model.fit(kept, kept.subset([]), store, np.random.default_rng(0))
        assert "forces choose nothing" in potential.problem
        assert potential.diagnostics["judged_structures"] == 8
        assert potential.diagnostics["judged_force_structures"] == 0


def test_weights_do_not_depend_on_how_often_a_structure_is_there(rattled, snap_basis, store, model):
    """Means, not sums: every structure twice is the same problem."""
    rows = rows_of(rattled, snap_basis, store)
    once, twice = np.arange(24), np.repeat(np.arange(24), 2)
    weights = Weights(10.0, 1.0)
    a = solve(*rows.terms(once).combine(weights), 1e-8, 1)
    b = solve(*rows.terms(twice).combine(weights), 1e-8, 1)
    np.testing.assert_allclose(predictions(rows, a), predictions(rows, b), atol=1e-7)


def test_missing_stresses_are_left_out(rattled, model, store):
    stresses = rattled.stresses.copy()
    stresses[:, 3:] = np.nan
    stresses[0] = np.nan
    potential = model.fit(replace(rattled, stresses=stresses), rattled, store, np.random.default_rng(0))
    assert np.isfinite(potential.coefficients).all()
    none = replace(rattled, stresses=np.full_like(stresses, np.nan))
    assert np.isfinite(model.fit(none, rattled, store, np.random.default_rng(0)).coefficients).all()


def test_tuning_on_kept_never_looks_at_validation(rattled, model, store):
    kept, rng = rattled.subset(range(12)), np.random.default_rng
    wrong = replace(rattled, energies=rattled.energies * 1e3)
    a = model.fit(kept, rattled, store, rng(0))
    b = model.fit(kept, wrong, store, rng(0))
    np.testing.assert_array_equal(a.coefficients, b.coefficients)
    noisy = replace(rattled, forces=tuple(np.zeros_like(f) for f in rattled.forces))
    judged = replace(model, tuning="pool_validation")
    assert (
        judged.fit(kept, rattled, store, rng(0)).diagnostics["fold_score"]
        != judged.fit(kept, noisy, store, rng(0)).diagnostics["fold_score"]
    )


def test_a_grid_far_from_what_the_labels_ask_for_widens(exact, model, store):
    """Labels without noise ask for as small a ridge as there is; the given ones are far too large."""
    _, dataset = exact
    model = replace(model, energy_weights=(10.0,), ridges=(1e-3, 1e-2, 1e-1))
    fits = [
        replace(model, widenings=n).fit(dataset, dataset, store, np.random.default_rng(0)).diagnostics
        for n in (0, 3)
    ]
    assert [found["at_edge"] for found in fits] == [1.0, 1.0]
    assert [found["grid_widened"] for found in fits] == [0.0, 3.0]
    assert [found["settings_tried"] for found in fits] == [3.0, 6.0]
    assert [found["ridge"] for found in fits] == pytest.approx([1e-3, 1e-6])
    assert fits[1]["fold_score"] < fits[0]["fold_score"] - 1.0


def test_two_elements_of_fixed_composition_have_a_solution(store):
    """The atom counts of the elements are collinear: only their sum is determined, and must not blow up."""
    from ase.build import bulk

    from tamis.bases.snap import SnapBasis
    from tamis.data.dataset import Dataset

    basis = SnapBasis(("Si", "Ge"), 4.2, 2, 0.99363, 0.0, None, {"Si": 1.0, "Ge": 1.0})
    structures = []
    for i in range(8):
        atoms = bulk("Si", a=5.5, cubic=True)
        atoms.symbols[::2] = "Ge"
        atoms.rattle(0.05, seed=i)
        structures.append(atoms)
    n = len(structures)
    dataset = Dataset(
        tuple(structures),
        -40.0 + 0.1 * np.random.default_rng(0).normal(size=n),
        tuple(np.random.default_rng(i).normal(size=(8, 3)) for i in range(n)),
        np.full((n, 6), np.nan),
        ("all",) * n,
        ("all",) * n,
        tuple(map(str, range(n))),
        np.zeros(n, dtype=bool),
    )
    model = LinearModel(
        basis,
        energy_weights=(10.0,),
        stress_weights=(1.0,),
        ridges=(1e-8,),
        widenings=2,
        tuning="kept",
        n_folds=4,
    )
    potential = model.fit(dataset, dataset, store, np.random.default_rng(0))
    assert np.abs(potential.offsets).max() < 100
    assert np.abs(potential.predict(dataset, store).energies + 40.0).max() < 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"tuning": "test"},
        {"ridges": ()},
        {"ridges": (0.0,)},
        {"energy_weights": (-1.0,)},
        {"n_folds": 1},
        {"widenings": -1},
    ],
)
def test_arguments_are_checked(model, change):
    with pytest.raises(TamisError, match=next(iter(change))):
        replace(model, **change)


def test_mean_squares_are_means_by_the_weights_of_structures(rattled, snap_basis, store):
    """Those by which folds judge; parts add up and are taken away as without weights."""
    weights = np.random.default_rng(1).uniform(0.0, 3.0, size=(len(rattled), 3))
    weights[3] = 0.0
    rows = rows_of(replace(rattled, weights=weights), snap_basis, store)
    c = np.random.default_rng(0).normal(size=rows.size)
    whole, part = rows.terms(np.arange(24)), rows.terms(np.arange(9))
    for kind, name in enumerate(("energy", "force", "stress")):
        each = [rows.kinds(np.array([i]))[kind] for i in np.delete(np.arange(24), 3)]
        squares = np.concatenate([(b.times(c) - b.target) ** 2 for blocks in each for b in blocks])
        of_rows = np.concatenate([np.full(len(b.target), b.weight) for blocks in each for b in blocks])
        expected = np.average(squares, weights=of_rows)
        assert getattr(whole, name).mean_square(c) == pytest.approx(expected, rel=1e-9)
        rest = getattr(whole - part, name) + getattr(part, name)
        assert rest.mean_square(c) == pytest.approx(expected, rel=1e-9)
        assert getattr(whole, name).rows == len(of_rows)
