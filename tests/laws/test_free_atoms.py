"""Isolated atoms fix the energies of free atoms, in every family and whatever else is fitted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from tests.families import FAMILIES, rattled_silicon, small_model
from tests.training import with_germanium

from tamis.core.errors import MissingEngineError
from tamis.data.dataset import Dataset
from tamis.data.plausibility import set_isolated_apart
from tamis.store import Store

FREE = -1.7
"""eV; the bonded structures lie some 4 eV per atom below."""
FEWER = {
    "ace": ["model.basis.nradmax_by_orders=[5,2]", "model.basis.lmax_by_orders=[0,2]"],
    "chimes": ["model.basis.order_3b=3", "model.basis.order_4b=0"],
    "nnp": ["model.basis.angular_eta=[1.0]", "model.basis.angular_zeta=[1.0,4.0]"],
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rattled_silicon(tmp_path_factory.mktemp("sw"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), 1)


def made(family: str, *overrides: str) -> Any:
    try:
        return small_model(family, "model.free_atoms=fix", *overrides)
    except MissingEngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, pool: Dataset, store: Store) -> Any:
    model = made(request.param)
    model.prepare(pool, store)
    return model


def with_free_atoms(dataset: Dataset, **energies: float) -> Dataset:
    """The structures and, set apart, a free atom without forces of each element that has an energy."""
    free = [Atoms(element, cell=[15.0] * 3, pbc=True) for element in energies]
    n = len(free)
    whole = replace(
        dataset,
        structures=(*free, *dataset.structures),
        energies=np.concatenate([list(energies.values()), dataset.energies]),
        forces=(*[np.full((1, 3), np.nan)] * n, *dataset.forces),
        stresses=np.concatenate([np.full((n, 6), np.nan), dataset.stresses]),
        groups=(*["isolated"] * n, *dataset.groups),
        blocks=(*["isolated"] * n, *dataset.blocks),
        ids=(*[f"free {element}" for element in energies], *dataset.ids),
        is_test=np.append(np.zeros(n, dtype=bool), dataset.is_test),
    )
    return set_isolated_apart(whole)


def fit(model: Any, kept: Dataset, store: Store) -> Any:
    return model.fit(kept, kept.subset([]), store, np.random.default_rng(0))


def errors(potential: Any, dataset: Dataset, store: Store) -> np.ndarray:
    return (potential.predict(dataset, store).energies - dataset.energies) / dataset.n_atoms


def test_the_potential_gives_the_free_atom_its_label(model, pool, store, tmp_path):
    kept = with_free_atoms(pool, Si=FREE)
    potential = fit(model, kept, store)
    assert potential.diagnostics["fixed_free_atoms"] == 1
    free = kept.isolated.structures[0]
    assert potential.predict(kept.isolated, store).energies[0] == pytest.approx(FREE, abs=1e-6)
    assert potential.calculator().get_property("energy", free) == pytest.approx(FREE, abs=1e-6)
    assert potential.calculator().get_property("energy", Atoms("Si")) == pytest.approx(FREE, abs=1e-6)
    assert np.abs(errors(potential, pool, store)).max() < 0.5
    assert potential.write(tmp_path)


def test_without_isolated_atoms_or_with_leave_to_fit_nothing_is_fixed(model, pool, store):
    fitted = fit(replace(model, free_atoms="fit"), with_free_atoms(pool, Si=FREE), store)
    as_ever = fit(model, pool, store)
    np.testing.assert_array_equal(fitted.predict(pool, store).energies, as_ever.predict(pool, store).energies)
    assert "fixed_free_atoms" not in as_ever.diagnostics


def test_a_common_shift_of_all_energies_changes_nothing_else(model, pool, store):
    """Where the zero of energies lies is no physics: the forces are the same, the energies shifted."""
    shifted = replace(pool, energies=pool.energies + 30.0 * pool.n_atoms)
    a, b = (
        fit(model, kept, store).predict(pool, store)
        for kept in (with_free_atoms(pool, Si=FREE), with_free_atoms(shifted, Si=FREE + 30.0))
    )
    np.testing.assert_allclose(b.energies - a.energies, 30.0 * pool.n_atoms, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(b.forces), np.concatenate(a.forces), atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_of_two_elements_one_may_be_fixed(family, pool, store):
    model = made(family, "dataset.elements=[Ge,Si]", *FEWER.get(family, []))
    mixed = with_germanium(pool)
    potential = fit(model, with_free_atoms(mixed, Si=FREE), store)
    calculator = potential.calculator()
    assert calculator.get_property("energy", Atoms("Si")) == pytest.approx(FREE, abs=1e-6)
    assert abs(calculator.get_property("energy", Atoms("Ge")) - FREE) > 1e-3
    both = fit(model, with_free_atoms(mixed, Si=FREE, Ge=-2.5), store)
    assert both.diagnostics["fixed_free_atoms"] == 2
    for element, energy in (("Si", FREE), ("Ge", -2.5)):
        assert both.calculator().get_property("energy", Atoms(element)) == pytest.approx(energy, abs=1e-6)
    for one in (potential, both):
        assert np.abs(errors(one, mixed, store)).max() < 1.0
