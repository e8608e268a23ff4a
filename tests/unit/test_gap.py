"""GAP by slicing: covariance rows, candidates, the algebra, and fits on difficult subsets."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from threadpoolctl import threadpool_limits

from tamis.bases.gap.basis import Candidates, GapBasis
from tamis.bases.gap.files import quip_potential
from tamis.bases.pair_kernel import PairKernel
from tamis.bases.soap import SoapBasis
from tamis.core.errors import MissingEngineError, TamisError
from tamis.data.dataset import structure_key
from tamis.models.gap.model import GapModel, log_errors, sigmas_at
from tamis.models.gap.sparse_gp import Sigmas, leading, pivoted_order, posterior, prior_factor, whiten
from tamis.models.judging import Judges
from tamis.models.normal_equations import Quadratic, RowBlock, Terms
from tamis.selection.candidates import choose_candidates, farthest_apart
from tamis.store import Store, basis_identity, basis_key

pytest.importorskip("quippy")

SOAP = SoapBasis(("Si",), 4.0, 3, 2, 0.5, 0.5)
ALLOY_SOAP = replace(SOAP, elements=("Ge", "Si"))
PAIR = PairKernel(r_cut=4.0, cutoff_transition_width=0.8, r_min=1.8, n_points=5, theta=0.5)


@pytest.fixture(scope="module")
def model() -> GapModel:
    return GapModel(
        basis=SOAP,
        zeta=4,
        pair=PAIR,
        candidates_per_structure=4,
        n_sparse=30,
        delta=1.0,
        pair_delta=2.0,
        jitter=1e-8,
        force_sigmas=(0.05, 0.2),
        energy_ratios=(0.02, 0.1),
        virial_ratios=(1.0,),
        tuning="kept",
        n_folds=3,
        widenings=0,
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Store:
    """One store for the module: rows are made once."""
    return Store(tmp_path_factory.mktemp("gap"), 1)


@pytest.fixture
def prepared(model, rattled, warm) -> GapModel:
    copy = replace(model)
    copy.prepare(rattled, warm)
    return copy


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def small_alloy() -> Atoms:
    """A skewed cell shorter than the cutoff, so that an atom meets its own images."""
    atoms = Atoms(
        "Si3",
        [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.7, 2.3, 1.1]],
        cell=[[4.4, 0.1, 0.3], [0.6, 3.7, -0.2], [-0.3, 0.5, 4.7]],
        pbc=True,
    )
    atoms.symbols[1] = "Ge"
    return atoms


@pytest.fixture(scope="module")
def alloy_basis(tmp_path_factory) -> GapBasis:
    structures = [small_alloy(), small_alloy() * (2, 1, 1)]
    structures[1].rattle(0.1, seed=2)
    store = Store(tmp_path_factory.mktemp("alloy"), 1)
    return GapBasis(ALLOY_SOAP, 4, PAIR, choose_candidates(ALLOY_SOAP, structures, 4, store))


@pytest.fixture(scope="module")
def coefficients(alloy_basis) -> np.ndarray:
    return np.random.default_rng(1).normal(size=alloy_basis.n_features)


def slope(energy, size: float) -> float:
    """Five-point derivative at 0."""
    return (8 * (energy(size) - energy(-size)) - energy(2 * size) + energy(-2 * size)) / (12 * size)


def test_forces_are_minus_the_gradient(alloy_basis, coefficients):
    atoms = small_alloy()
    forces = alloy_basis.design(atoms).forces @ coefficients
    for atom, axis in ((0, 0), (1, 1), (2, 2)):

        def energy(x, atom=atom, axis=axis):
            moved = atoms.copy()
            moved.positions[atom, axis] += x
            return alloy_basis.values(moved).sum(axis=0) @ coefficients

        assert forces[atom, axis] == pytest.approx(-slope(energy, 1e-3), abs=1e-6 * np.abs(forces).max())


@pytest.mark.parametrize("component", range(6))
def test_strain_gradient_is_the_strain_derivative(alloy_basis, coefficients, component):
    atoms = small_alloy()
    i, j = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]

    def energy(x):
        strain = np.zeros((3, 3))
        strain[i, j] += x / 2
        strain[j, i] += x / 2
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return alloy_basis.values(strained).sum(axis=0) @ coefficients

    found = alloy_basis.design(atoms).strain_gradient @ coefficients
    assert found[component] == pytest.approx(slope(energy, 1e-3), abs=1e-6 * np.abs(found).max())


def test_a_supercell_has_the_same_energy_per_atom(alloy_basis):
    once, eight = (alloy_basis.design(a).energy for a in (small_alloy(), small_alloy() * (2, 2, 2)))
    np.testing.assert_allclose(eight, 8 * once, atol=1e-10)


def test_environments_of_other_elements_do_not_covary(alloy_basis):
    values = alloy_basis.values(small_alloy())[:, : alloy_basis.n_candidates]
    alike = np.array(small_alloy().get_chemical_symbols())[:, None] == alloy_basis.candidates.elements
    assert (values[alike] > 0).all() and (values[~alike] == 0).all()
    everything = np.arange(alloy_basis.n_features)
    prior = alloy_basis.between(everything)
    np.testing.assert_allclose(prior, prior.T, atol=1e-14)
    assert np.linalg.eigvalsh(prior).min() > -1e-12
    some = np.array([1, alloy_basis.n_candidates + 3, 0])
    np.testing.assert_allclose(alloy_basis.between(some), prior[np.ix_(some, some)], atol=1e-14)


def test_a_candidate_has_covariance_one_with_itself(model, rattled, warm):
    basis = model.basis_of(rattled.subset([1]), warm)
    values = basis.values(rattled.structures[1])[:, : basis.n_candidates]
    np.testing.assert_allclose(values.max(axis=0), 1.0, rtol=1e-12)


def test_a_lone_atom_feels_nothing(alloy_basis):
    rows = alloy_basis.design(Atoms("Si"))
    assert np.abs(rows.forces).max() == 0 and np.abs(rows.energy[alloy_basis.n_candidates :]).max() == 0


def test_pair_cutoff_is_smooth():
    f, df = PAIR.cutoff(np.array([1.0, 3.2, 3.6, 4.0, 5.0]))
    np.testing.assert_allclose(f, [1, 1, 0.5, 0, 0], atol=1e-15)
    assert df[2] == pytest.approx(slope(lambda x: PAIR.cutoff(np.array(3.6 + x))[0], 1e-3), rel=1e-6)
    np.testing.assert_allclose(df[[0, 1, 3, 4]], 0, atol=1e-12)


def test_the_store_keeps_the_sum_of_so_many_values(model, rattled, tmp_path):
    store, structures = Store(tmp_path, 1), rattled.structures[:2]
    basis = model.basis_of(rattled.subset([0, 1]), store)
    for atoms, stored in zip(structures, store.design(basis, structures), strict=True):
        values, rows = basis.evaluate(atoms)
        np.testing.assert_array_equal(stored.energy, rows.energy)
        np.testing.assert_array_equal(stored.forces, rows.forces)
        np.testing.assert_array_equal(stored.strain_gradient, rows.strain_gradient)
        np.testing.assert_array_equal(store.values(basis, [atoms])[0], values)


def test_the_key_follows_the_candidates(model, rattled, warm):
    one, same, other = (model.basis_of(rattled.subset(i), warm) for i in ([0, 1], [0, 1], [0, 2]))
    assert basis_key(one) == basis_key(same) and one == same and hash(one) == hash(same)
    assert basis_key(one) != basis_key(other) and one != other
    assert basis_key(replace(one, pair=None)) != basis_key(one)
    assert basis_key(replace(one, soap=replace(SOAP, atom_sigma=0.4))) != basis_key(one)
    described = basis_identity(one)["config"]
    assert described["soap"]["n_max"] == 3 and "candidates" not in described


def test_workers_give_the_same_rows(model, rattled, tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.store.workers.WORTH_WORKERS_S", 0.0)
    some = rattled.subset(range(6))
    stores = Store(tmp_path / "one", 1), Store(tmp_path / "two", 2)
    # as in a trial, and as workers have it: a BLAS may round by its number of threads
    with threadpool_limits(1):
        rows = [store.design(model.basis_of(some, store), some.structures) for store in stores]
    for a, b in zip(*rows, strict=True):
        np.testing.assert_array_equal(a.forces, b.forces)


def test_candidates_are_apart_within_a_structure_and_none_is_there_twice(warm):
    atoms = bulk("Si", cubic=True)
    assert len(choose_candidates(SOAP, [atoms], 8, warm).points) == 1  # a perfect crystal has one environment
    atoms.rattle(0.1, seed=3)
    found = choose_candidates(SOAP, [atoms, bulk("Si"), atoms.copy()], 5, warm)
    assert [np.sum(found.owners == structure_key(a)) for a in (atoms, bulk("Si"))] == [5, 1]
    np.testing.assert_allclose(np.linalg.norm(found.points, axis=1), 1.0)


def test_farthest_apart_by_hand():
    points = np.array([[0.0], [1.0], [10.0], [4.0], [4.0]])
    np.testing.assert_array_equal(farthest_apart(points, 3), [2, 0, 3])
    assert len(farthest_apart(points, 99)) == 4


def test_pivoted_order_takes_the_largest_conditional_variance():
    """Against its definition: variance left after conditioning on the points before."""
    points = np.random.default_rng(0).normal(size=(12, 3))
    kernel = np.exp(-0.5 * ((points[:, None] - points) ** 2).sum(-1)) * np.linspace(1, 2, 12)[:, None] ** 0.5
    kernel = kernel * np.linspace(1, 2, 12) ** 0.5
    order = pivoted_order(kernel, 1e-12, 99)
    np.testing.assert_array_equal(pivoted_order(kernel, 1e-12, 4), order[:4])
    for n in range(1, 12):
        chosen, left = order[:n], np.setdiff1d(np.arange(12), order[:n])
        explained = kernel[np.ix_(left, chosen)] @ np.linalg.solve(
            kernel[np.ix_(chosen, chosen)], kernel[np.ix_(chosen, left)]
        )
        assert order[n] == left[np.argmax(np.diag(kernel)[left] - np.diag(explained))]
    twice = np.block([[kernel, kernel], [kernel, kernel]])
    assert len(pivoted_order(twice, 1e-9, 99)) == 12


def test_last_digits_decide_no_order():
    """All variances are 1, and each point is there twice; QUIP gives other last digits in another process."""
    points = np.tile(np.random.default_rng(0).normal(size=(30, 3)), (2, 1))
    kernel = np.exp(-0.5 * ((points[:, None] - points) ** 2).sum(-1))
    orders = []
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(scale=2e-16, size=kernel.shape)
        orders.append(pivoted_order(kernel + noise + noise.T, 1e-9, 99).tolist())
    assert orders == [orders[0]] * 5 and len(orders[0]) == 30


@pytest.mark.parametrize(("jitter", "noise"), [(1e-8, 1e-3), (1e-10, 1e-2)])
def test_the_solution_is_that_of_qr_on_the_stacked_rows(prepared, rattled, warm, jitter, noise):
    """Also with less noise than anyone would set: plain normal equations would be meaningless there."""
    basis = prepared.basis_of(rattled, warm)
    columns = np.arange(basis.n_features)[::-3]
    prior = basis.between(columns) + jitter * np.eye(len(columns))
    factor, sigmas = prior_factor(prior), Sigmas(0.1 * noise, noise, noise)
    design = warm.design(basis, rattled.structures)
    offsets = -4.6 * rattled.n_atoms
    w = posterior(whiten(design, rattled, columns, factor, offsets).terms, sigmas)
    coefficients = np.linalg.solve(factor, w)

    root = np.sqrt(rattled.n_atoms)[:, None]
    energy = np.array([rows.energy[columns] for rows in design])
    force = np.concatenate([rows.forces.reshape(-1, basis.n_features)[:, columns] for rows in design])
    strain = [
        rows.strain_gradient[:, columns] / r / sigmas.virial for rows, r in zip(design, root, strict=True)
    ]
    matrix = np.concatenate([energy / root / sigmas.energy, force / sigmas.force, *strain, factor])
    target = np.concatenate(
        [
            (rattled.energies - offsets) / root[:, 0] / sigmas.energy,
            np.concatenate(rattled.forces).ravel() / sigmas.force,
            (rattled.stresses * rattled.volumes[:, None] / root / sigmas.virial).ravel(),
            np.zeros(len(columns)),
        ]
    )
    by_qr = np.linalg.lstsq(matrix, target, rcond=None)[0]
    assert np.abs(energy @ (coefficients - by_qr)).max() <= 1e-6  # eV; plain normal equations: 0.03
    assert np.abs(force @ (coefficients - by_qr)).max() <= 1e-6 * np.abs(force @ by_qr).max()


def test_leading_points_are_the_smaller_problem(prepared, rattled, warm):
    basis = prepared.basis_of(rattled, warm)
    columns, few = np.arange(basis.n_features)[::-3], 9
    design, zeros = warm.design(basis, rattled.structures), np.zeros(len(rattled))

    def terms(columns):
        factor = prior_factor(basis.between(columns) + 1e-8 * np.eye(len(columns)))
        return whiten(design, rattled, columns, factor, zeros).terms

    cut, alone = leading(terms(columns), few), terms(columns[:few])
    sigmas = Sigmas(0.01, 0.1, 0.1)
    np.testing.assert_allclose(posterior(cut, sigmas), posterior(alone, sigmas), rtol=1e-6, atol=1e-9)


def test_a_slice_is_what_a_fit_on_these_structures_alone_gives(model, prepared, rattled, warm):
    """The candidates of other structures have no say, though their covariances lie in the same files."""
    kept = rattled.subset([3, 8, 1, 15, 12, 19])
    from_slice, alone = (m.fit(kept, rattled, warm, rng()) for m in (prepared, replace(model)))
    assert len(from_slice.coefficients) > len(alone.coefficients)
    for a, b in zip(
        from_slice.predict(rattled, warm).forces, alone.predict(rattled, warm).forces, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    used = np.flatnonzero(from_slice.coefficients[: from_slice.basis.n_candidates])
    owners = set(from_slice.basis.candidates.owners[used])
    assert owners <= {structure_key(atoms) for atoms in kept.structures}
    assert from_slice.diagnostics["n_sparse"] == len(used) == alone.diagnostics["n_sparse"]


def test_test_structures_give_no_candidates(prepared, rattled, warm):
    test = {structure_key(a) for a, t in zip(rattled.structures, rattled.is_test, strict=True) if t}
    kept = rattled.subset(np.flatnonzero(~rattled.is_test))
    potential = prepared.fit(kept, rattled, warm, rng())
    assert not test & set(potential.basis.candidates.owners)


def test_the_same_fit_twice_is_the_same(prepared, rattled, warm):
    kept = rattled.subset(range(12))
    a, b = (prepared.fit(kept, rattled, warm, rng()) for _ in range(2))
    np.testing.assert_array_equal(a.coefficients, b.coefficients)


def test_labels_of_the_model_itself_are_recovered(prepared, rattled, warm):
    first = prepared.fit(rattled.subset(range(20)), rattled, warm, rng())
    said = first.predict(rattled, warm)
    relabelled = replace(rattled, energies=said.energies, forces=said.forces, stresses=said.stresses)
    exact = replace(prepared, force_sigmas=(1e-4,), energy_ratios=(0.1,), virial_ratios=(10.0,))
    exact.prepare(relabelled, warm)
    again = exact.fit(relabelled.subset(range(20)), rattled, warm, rng()).predict(rattled, warm)
    scale = max(np.abs(f).max() for f in said.forces)
    for a, b in zip(again.forces, said.forces, strict=True):
        assert np.abs(a - b).max() <= 0.02 * scale


def test_the_number_of_points_is_a_metric_and_a_limit(prepared, rattled, warm):
    kept = rattled.subset(range(12))
    few = replace(prepared, n_sparse=7).fit(kept, rattled, warm, rng())
    assert few.diagnostics["n_sparse"] == 7 and few.diagnostics["n_pair_points"] == 5
    many = replace(prepared, n_sparse=10_000).fit(kept, rattled, warm, rng())
    assert many.diagnostics["n_sparse"] <= many.diagnostics["n_candidates"]


@pytest.mark.parametrize("n_kept", [1, 2, 3])
@pytest.mark.parametrize("pair", [PAIR, None])
def test_very_few_structures_give_a_sound_fit(model, rattled, warm, n_kept, pair):
    """Fewer rows than points of the distances, one group, nothing to judge by: the prior holds."""
    sound = replace(model, pair=pair).fit(rattled.subset(range(n_kept)), rattled, warm, rng())
    said = sound.predict(rattled, warm)
    assert sound.diagnostics["settings_tried"] == (4 if n_kept > 1 else 1)
    assert np.abs(said.energies / rattled.n_atoms + 4.6).max() < 1.0
    assert max(np.abs(f).max() for f in said.forces) < 20.0


def test_one_structure_of_one_atom(model, rattled, warm):
    lone = bulk("Si").copy()
    del lone[1]
    lone.set_cell([10, 10, 10])
    kept = replace(
        rattled.subset([0]),
        structures=(lone,),
        forces=(np.zeros((1, 3)),),
        energies=np.array([-1.0]),
    )
    said = model.fit(kept, rattled, warm, rng()).predict(kept, warm)
    assert said.energies[0] == pytest.approx(-1.0, abs=1e-6)


def test_missing_stresses_are_left_out(prepared, rattled, warm):
    kept = rattled.subset(range(8))
    holes = kept.stresses.copy()
    holes[:, 3:] = np.nan
    holes[0] = np.nan
    absurd = np.where(np.isfinite(holes), holes, 1e3)
    nothing = np.full_like(holes, np.nan)
    some, wrong, none = (
        prepared.fit(replace(kept, stresses=s), rattled, warm, rng()).coefficients
        for s in (holes, absurd, nothing)
    )
    assert np.isfinite(some).all() and np.isfinite(none).all()
    assert not np.allclose(some, wrong) and not np.allclose(some, none)


def test_structures_without_a_volume_have_no_stress_rows(model, rattled, warm):
    slab = rattled.structures[0].copy()
    slab.pbc = (True, True, False)
    kept = replace(rattled.subset([0, 1]), structures=(slab, rattled.structures[1]))
    potential = model.fit(kept, rattled, warm, rng())
    assert np.isfinite(potential.coefficients).all()
    assert np.isnan(potential.predict(kept, warm).stresses[0]).all()


def test_an_element_that_no_kept_structure_has(model, rattled, warm):
    """Its atoms get no energy, and QUIP takes the file."""
    alloy = replace(model, basis=ALLOY_SOAP)
    potential = alloy.fit(rattled.subset(range(4)), rattled, warm, rng())
    assert potential.offsets[0] == 0.0
    mixed = small_alloy()
    rows = potential.basis.design(mixed)
    energy = rows.energy @ potential.coefficients + 2 * potential.offsets[1]
    assert potential.calculator().get_property("energy", mixed) == pytest.approx(energy, rel=1e-9)


def test_tuning_on_kept_never_looks_at_validation(prepared, rattled, warm):
    kept = rattled.subset(range(12))
    wrong = replace(rattled, energies=rattled.energies * 1e3)
    a, b = (prepared.fit(kept, v, warm, rng()).coefficients for v in (rattled, wrong))
    np.testing.assert_array_equal(a, b)
    judged = replace(prepared, tuning="pool_validation")
    judged.prepare(rattled, warm)
    scores = [judged.fit(kept, v, warm, rng()).diagnostics["fold_score"] for v in (rattled, wrong)]
    assert scores[0] != scores[1]


def test_the_chosen_setting_predicts_held_out_structures_best(prepared, rattled, warm, monkeypatch):
    """The score against folds predicted one after the other, by fits on the others."""
    monkeypatch.setattr("tamis.models.grids.Losses.standard_errors", lambda losses, best: 0.0)
    monkeypatch.setattr("tamis.models.grids.LEAST_GAIN", 0.0)
    from tamis.data.dealing import deal_into_folds
    from tamis.models.judging import AS_GOOD_AS_NONE

    kept = rattled.subset(range(12))
    fold = deal_into_folds(kept.groups, 3, rng(), kept.copies)
    chosen = prepared.fit(kept, rattled, warm, rng()).diagnostics
    basis, owned = prepared._candidates_of(kept, warm)
    columns, factor = prepared._sparse_points(basis, owned, warm.memory)
    offset = np.mean(kept.energies / kept.n_atoms)
    design = warm.design(basis, kept.structures)
    scores = []
    for sigmas in map(sigmas_at, prepared.grid):
        energies, forces = [], []
        for k in range(3):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            some = kept.subset(train)
            w = posterior(
                whiten([design[i] for i in train], some, columns, factor, offset * some.n_atoms).terms, sigmas
            )
            c = np.linalg.solve(factor, w)
            energies += [
                (design[i].energy[columns] @ c - kept.energies[i]) / kept.n_atoms[i] + offset for i in test
            ]
            forces += [(design[i].forces[..., columns] @ c - kept.forces[i]).ravel() for i in test]
        force_rmse = np.sqrt(np.mean(np.concatenate(forces) ** 2))
        scores.append(np.log((np.mean(np.abs(energies)) + AS_GOOD_AS_NONE) * force_rmse))
    assert chosen["fold_score"] == pytest.approx(min(scores), abs=1e-5)
    best = sigmas_at(prepared.grid[int(np.argmin(scores))])
    assert (chosen["energy_sigma_eV"], chosen["force_sigma_eV_per_A"]) == (best.energy, best.force)


@pytest.mark.parametrize(
    "change",
    [
        {"tuning": "test"},
        {"energy_ratios": ()},
        {"force_sigmas": (0.0,)},
        {"virial_ratios": (np.inf,)},
        {"delta": 0.0},
        {"pair_delta": -1.0},
        {"jitter": 0.0},
        {"candidates_per_structure": 0},
        {"n_sparse": 0},
        {"n_folds": 1},
        {"widenings": -1},
        {"zeta": 0},
    ],
)
def test_arguments_of_the_model_are_checked(model, change):
    with pytest.raises(TamisError, match=next(iter(change))):
        replace(model, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"cutoff_transition_width": 5.0},
        {"r_min": 4.5},
        {"n_points": 0},
        {"theta": 0.0},
    ],
)
def test_arguments_of_the_pair_kernel_are_checked(change):
    with pytest.raises(TamisError, match=next(iter(change))):
        replace(PAIR, **change)


def test_zeta_of_the_basis_is_checked():
    empty = Candidates(np.zeros((0, SOAP.width)), np.zeros(0, dtype=str), np.zeros(0, dtype=str))
    with pytest.raises(TamisError, match="zeta"):
        GapBasis(SOAP, 2.5, None, empty)


def test_no_structures_no_candidates(warm):
    with pytest.raises(TamisError, match="no structures"):
        choose_candidates(SOAP, [], 4, warm)


def test_a_singular_prior_is_named():
    with pytest.raises(TamisError, match=r"model\.jitter"):
        prior_factor(np.array([[1.0, 1.0], [1.0, 1.0 - 1e-9]]))


def test_a_fit_without_a_solution_is_named(model):
    broken = Quadratic(np.array([-1e30]), np.zeros(1), 0.0, 1, 1.0)
    empty = Quadratic.of([RowBlock(np.zeros((0, 1)), np.zeros(0))], 1)
    with pytest.raises(TamisError, match="raise the smallest of"):
        model._final(Terms(broken, empty, empty), Sigmas(0.1, 0.1, 0.1))


@pytest.fixture(scope="module")
def written(model, rattled, warm, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    model.fit(rattled.subset(range(2)), rattled, warm, rng()).write(folder)
    return folder


def test_a_missing_file_and_a_missing_quip_are_named(written, tmp_path, monkeypatch):
    with pytest.raises(TamisError, match="is not there"):
        quip_potential(tmp_path / "gap.xml")
    monkeypatch.setitem(sys.modules, "quippy.potential", None)
    with pytest.raises(MissingEngineError, match=r"tamis\[gap\]"):
        quip_potential(written / "gap.xml")


POINTS = "gap.xml.sparseX.GAP_tamis_2"
DAMAGE = {
    "an empty file": ("gap.xml", "(?s).*", "", "is damaged"),
    "cut off": ("gap.xml", "(?s)<sparseX.*", "", "is damaged"),
    "another file": ("gap.xml", "(?s).*", "<a/>", "is no whole GAP"),
    "a term less": ("gap.xml", "(?s)<gpCoordinates.*?</gpCoordinates>", "", "it has 1 of 2 terms"),
    "a point less": (
        "gap.xml",
        "<sparseX .*?/>",
        "",
        "5 points of 5 finite numbers are needed and there are 4 of 5",
    ),
    "another name": (
        "gap.xml",
        r"sparseX\.GAP_tamis_2",
        "sparseX.gone",
        "sparseX.gone', which is not beside",
    ),
    "a file elsewhere": ("gap.xml", 'filename="', 'filename="../', r"'\.\./gap.xml.*, which is not beside"),
    "no name": ("gap.xml", 'sparseX_filename="[^"]*"', "", "which is not beside it"),
    "another sum": ("gap.xml", "sparseX_filename", 'sparseX_md5sum="0" sparseX_filename', "another checksum"),
    "fewer numbers": (POINTS, r".*\n", "", "points of .* finite numbers are needed"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_do_not_reach_quip(damage, written, tmp_path, monkeypatch):
    """QUIP would end the process, or take other numbers."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    name, old, new, says = DAMAGE[damage]
    text = (tmp_path / name).read_text()
    damaged = re.sub(old, new, text, count=1)
    assert damaged != text
    (tmp_path / name).write_text(damaged)
    monkeypatch.setitem(sys.modules, "quippy.potential", None)
    with pytest.raises(TamisError, match=says) as raised:
        quip_potential(tmp_path / "gap.xml")
    assert not isinstance(raised.value, MissingEngineError) and str(tmp_path) in str(raised.value)


def test_lammps_lines_name_the_label_of_the_file(model, rattled, warm, tmp_path):
    potential = model.fit(rattled.subset(range(3)), rattled, warm, rng())
    potential.write(tmp_path)
    style, coefficients = potential.lammps(tmp_path)
    assert style == "pair_style quip" and coefficients.endswith(" 14")
    label = coefficients.split("xml_label=")[1].split('"')[0]
    assert f'<Potential label="{label}"' in (tmp_path / "gap.xml").read_text()


def test_candidates_are_chosen_one_structure_at_a_time(model, rattled, warm):
    """The values of all of them together need not fit, the candidates have to."""
    expected = choose_candidates(model.basis, rattled.structures, 1, warm)
    candidates = 2 * expected.points.nbytes
    assert candidates < 0.5 * sum(8 * len(a) * model.basis.n_features for a in rattled.structures)
    small = replace(warm, memory_gib=1.1 * candidates / 2**30)
    found = choose_candidates(model.basis, rattled.structures, 1, small)
    np.testing.assert_array_equal(found.points, expected.points)


def test_covariances_of_the_candidates_count(model, rattled, warm):
    """Of all with each other: their number squared."""
    with pytest.raises(
        TamisError, match=r"covariances of \d+ candidates \(model.candidates_per_structure\) take"
    ):
        model.fit(rattled, rattled, replace(warm, memory_gib=3e-5), np.random.default_rng(0))


def test_what_nothing_judges_leaves_the_score_a_number():
    """Without forces to judge by there are no rows of them; the energies choose."""
    judges = Judges(np.zeros(4, dtype=int), np.array([4, 0, 4]), np.array([True, False, True]), 1e-6, ())
    sums = np.array([[1.0, 2.0, 4.0], [0.0, np.inf, 1.0]])
    for rows in ([2.0, 0.0], [2.0, 12.0]):
        score = log_errors(judges, sums, np.array(rows))
        assert np.diff(score) == pytest.approx(np.log([2.0, 2.0]), rel=1e-4)
