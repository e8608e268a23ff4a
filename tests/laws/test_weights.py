"""What the weights of structures mean, in every family: how often a structure counts, and nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.families import FAMILIES, rattled_silicon, small_model

from tamis.core.errors import MissingEngineError
from tamis.data.dataset import Dataset
from tamis.models.free_atoms import FreeAtoms
from tamis.models.gap.sparse_gp import Sigmas, posterior, prior_factor, whiten
from tamis.models.linear import LinearModel
from tamis.models.nnp.data import gather
from tamis.models.nnp.problem import NetworkProblem, first_parameters
from tamis.models.normal_equations import Weights
from tamis.store import Store

ONE_SETTING = {"energy_weights": (14.0,), "stress_weights": (1.0,), "ridges": (1e-6,)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rattled_silicon(tmp_path_factory.mktemp("sw"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), 1)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, pool: Dataset, store: Store) -> Any:
    try:
        model = small_model(request.param)
        model.prepare(pool, store)
    except MissingEngineError as error:
        pytest.skip(str(error))
    return model


def weighted(dataset: Dataset, weights: np.ndarray) -> Dataset:
    """The same structures, with one weight for all labels of each or three."""
    return replace(
        dataset, weights=np.broadcast_to(weights.reshape(len(dataset), -1), (len(dataset), 3)) + 0.0
    )


def problem_of(model: Any, dataset: Dataset, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrix and moment of the last solve with one setting: all that its solution depends on."""
    n = len(dataset)
    if isinstance(model, LinearModel):
        terms = model._rows(dataset, store, FreeAtoms.fitted(np.full(1, -4.0))).terms(np.arange(n))
        gram, moment = terms.combine(Weights(14.0, 2.0))
        return gram, moment
    if hasattr(model, "zeta"):
        basis = model.basis_of(Dataset.subset(dataset, [0, 1]), store)
        columns = np.arange(0, basis.n_features, 2)
        factor = prior_factor(basis.between(columns) + 1e-6 * np.eye(len(columns)))
        design = store.stream(basis, dataset.structures)
        rows = whiten(design, dataset, columns, factor, -4.0 * dataset.n_atoms)
        solution = posterior(rows.terms, Sigmas(0.01, 0.1, 0.1))
        return rows.terms.force.gram, solution
    whitenings = gather(dataset.subset([0, 1]), model.basis, store, np.full(1, -4.0)).whitenings
    data = gather(dataset, model.basis, store, np.full(1, -4.0), whitenings)
    sizes = (model.basis.n_per_element, 4, 1)
    problem = NetworkProblem(sizes, data, np.arange(n), Weights(14.0, 2.0))
    parameters = first_parameters(sizes, np.random.default_rng(0))
    part = problem.draw(np.random.default_rng(0), np.inf)
    loss, gram, moment = problem.normal_equations(problem.evaluate(parameters), part)
    return np.triu(gram.T), np.append(moment, loss)


def assert_same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        assert np.linalg.norm(a - b) <= 2e-6 * np.linalg.norm(a)  # networks sum in single precision


def test_a_structure_of_weight_two_counts_as_two(model, pool, store):
    two = np.where(np.arange(len(pool)) == 5, 2.0, 1.0)
    twice = pool.subset([*range(len(pool)), 5])
    assert_same(problem_of(model, weighted(pool, two), store), problem_of(model, twice, store))
    assert not np.allclose(problem_of(model, pool, store)[1], problem_of(model, twice, store)[1], rtol=1e-4)


def test_a_structure_of_weight_zero_does_not_count(model, pool, store):
    none = np.where(np.arange(len(pool)) == 5, 0.0, 1.0)
    without = pool.subset(np.delete(np.arange(len(pool)), 5))
    assert_same(problem_of(model, weighted(pool, none), store), problem_of(model, without, store))


def test_a_label_of_weight_zero_is_as_one_that_is_not_there(model, pool, store):
    weights = np.ones((len(pool), 3))
    weights[3, 1] = weights[4, 2] = 0.0
    stresses = pool.stresses.copy()
    stresses[4] = np.nan
    forces = tuple(np.full_like(f, np.nan) if i == 3 else f for i, f in enumerate(pool.forces))
    missing = replace(pool, forces=forces, stresses=stresses)
    assert_same(problem_of(model, weighted(pool, weights), store), problem_of(model, missing, store))


def test_equal_weights_change_nothing(model, pool, store):
    """Each kind of label has its own mean: only ratios within a kind matter. Powers of 2 round nothing."""
    fits = [
        model.fit(kept, kept.subset([]), store, np.random.default_rng(0))
        for kept in (pool, weighted(pool, np.tile([4.0, 0.25, 16.0], (len(pool), 1))))
    ]
    a, b = (potential.predict(pool, store) for potential in fits)
    np.testing.assert_allclose(a.energies, b.energies, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(a.forces), np.concatenate(b.forces), atol=1e-7)
    assert fits[0].diagnostics == pytest.approx(dict(fits[1].diagnostics), rel=1e-6)


def test_weights_pull_a_fit_towards_what_they_favour(model, pool, store):
    """Two labels of one structure that contradict each other by 1 eV: the heavier one wins."""
    contrary = replace(
        pool.subset([*range(len(pool)), 5]), energies=np.append(pool.energies, pool.energies[5] - 1.0)
    )
    found = []
    for first, second in ((1000.0, 1e-3), (1e-3, 1000.0)):
        weights = np.ones((len(contrary), 3))
        weights[5, 0], weights[-1, 0] = first, second
        potential = model.fit(
            weighted(contrary, weights), contrary.subset([]), store, np.random.default_rng(0)
        )
        found.append(potential.predict(pool.subset([5]), store).energies[0])
    assert 0.3 < found[0] - found[1] < 1.2  # short trainings of small networks stop half-way


def test_without_energies_that_count_forces_are_learnt_all_the_same(model, pool, store):
    """A budget may keep none but structures whose energies have the weight 0."""
    forces_alone = weighted(pool, np.tile([0.0, 1.0, 1.0], (len(pool), 1)))
    potential = model.fit(forces_alone, pool.subset([]), store, np.random.default_rng(0))
    said = potential.predict(pool, store)
    errors = np.concatenate(said.forces) - np.concatenate(pool.forces)
    assert np.isfinite(said.energies).all()
    assert np.sqrt(np.mean(errors**2)) < 0.5 * np.sqrt(np.mean(np.concatenate(pool.forces) ** 2))
    assert potential.diagnostics["judged_structures"] == 0


def test_the_last_solve_of_a_linear_model_is_that_of_copies(pool, store):
    """From the rows, with free-atom energies, refinement and QR; a whole fit, with one setting to choose."""
    model = replace(small_model("snap"), **ONE_SETTING, widenings=0)
    weights = np.where(np.arange(len(pool)) % 3 == 0, 2.0, np.where(np.arange(len(pool)) % 3 == 1, 1.0, 0.0))
    copies = np.repeat(np.arange(len(pool)), weights.astype(int))
    for ridge in (1e-6, 1e-17):
        by_weights, by_copies = (
            replace(model, ridges=(ridge,)).fit(kept, kept.subset([]), store, np.random.default_rng(0))
            for kept in (weighted(pool, weights), pool.subset(copies))
        )
        a, b = (potential.predict(pool, store) for potential in (by_weights, by_copies))
        np.testing.assert_allclose(a.energies, b.energies, rtol=1e-7)
        np.testing.assert_allclose(np.concatenate(a.forces), np.concatenate(b.forces), atol=1e-5)
