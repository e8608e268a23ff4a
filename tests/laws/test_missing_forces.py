"""Structures that have an energy and no forces: every family learns from what there is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.families import FAMILIES, rattled_silicon, small_model

from tamis.core.errors import MissingEngineError
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, TRAIN, error
from tamis.data.dataset import Dataset
from tamis.evaluation.errors import Errors
from tamis.store import Store


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


def without_forces(dataset: Dataset, *members: int) -> Dataset:
    return replace(
        dataset,
        forces=tuple(np.full_like(f, np.nan) if i in members else f for i, f in enumerate(dataset.forces)),
    )


def fit(model: Any, kept: Dataset, store: Store) -> Any:
    return model.fit(kept, kept.subset([]), store, np.random.default_rng(0))


def test_energies_without_forces_are_learnt_from(model, pool, store):
    some = without_forces(pool, 0, 2, 5, 6, 9)
    moved = replace(some, energies=some.energies + np.where(np.arange(len(pool)) == 6, 0.5, 0.0))
    potentials = [fit(model, kept, store) for kept in (some, moved)]
    said = [potential.predict(pool, store) for potential in potentials]
    assert np.abs((said[0].energies - pool.energies) / pool.n_atoms).max() < 0.5
    assert np.isfinite(np.concatenate(said[0].forces)).all()
    assert np.abs(said[0].energies - said[1].energies).max() > 1e-3
    assert (
        potentials[0].diagnostics["judged_structures"]
        >= potentials[0].diagnostics["judged_force_structures"]
        > 0
    )


def test_without_any_forces_energies_alone_are_fitted(model, pool, store, tmp_path: Path):
    """There are no errors of forces then, and no complaint about them."""
    none = replace(without_forces(pool, *range(len(pool))), stresses=np.full((len(pool), 6), np.nan))
    potential = fit(model, none, store)
    found = Errors(by_group=True, parity_plot=True).measure(
        lambda dataset: potential.predict(dataset, store), {TRAIN: none}, tmp_path
    )
    assert found[error(TRAIN, ENERGY_MAE)] < 100.0  # meV/atom
    assert not [name for name in found if "force" in name or "stress" in name]
    assert all(map(np.isfinite, found.values()))
    assert "forces" not in potential.problem
    assert potential.diagnostics["judged_force_structures"] == 0


def test_errors_of_forces_are_those_of_the_structures_that_have_them(model, pool, store, tmp_path: Path):
    potential = fit(model, pool, store)
    rest = np.arange(3, len(pool))
    some, alone = without_forces(pool, 0, 1, 2), pool.subset(rest)
    by_group = Errors(by_group=True, parity_plot=False)
    said = [
        by_group.measure(lambda dataset: potential.predict(dataset, store), {TRAIN: part}, tmp_path)
        for part in (some, alone)
    ]
    assert said[0][error(TRAIN, FORCE_MAE)] == said[1][error(TRAIN, FORCE_MAE)]
    assert said[0][error(TRAIN, ENERGY_MAE)] != said[1][error(TRAIN, ENERGY_MAE)]
