"""What a fit of every family makes of difficult subsets: a sound potential, never a crash or a NaN."""

import gc
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from tests.families import FAMILIES, rattled_silicon, small_model
from tests.training import with_germanium

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.memory import GIB, Memory
from tamis.data.dataset import Dataset
from tamis.models.base import Potential
from tamis.store import Store

FEWER = {
    "ace": ["model.basis.nradmax_by_orders=[5,2]", "model.basis.lmax_by_orders=[0,2]"],
    "chimes": ["model.basis.order_3b=3", "model.basis.order_4b=0"],
    "nnp": ["model.basis.angular_eta=[1.0]", "model.basis.angular_zeta=[1.0,4.0]"],
    "snap": ["model.basis.twojmax=4"],
}
"""Functions, where those of two elements would take long."""
NO_STRESS = np.full(6, np.nan)


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


def fit(model: Any, kept: Dataset, store: Store) -> Potential:
    return model.fit(kept, kept.subset([]), store, np.random.default_rng(0))


@pytest.fixture(scope="module")
def of_pool(model: Any, pool: Dataset, store: Store) -> Potential:
    """What the family makes of the whole pool."""
    return fit(model, pool, store)


def assert_sound(
    potential: Potential, pool: Dataset, store: Store, energy: float = 1.0, force: float = 30.0
) -> None:
    """Energies within ``energy`` eV/atom of the labels, forces below ``force`` eV/Å, finite stresses."""
    said = potential.predict(pool, store)
    assert np.abs((said.energies - pool.energies) / pool.n_atoms).max() < energy
    assert np.abs(np.concatenate(said.forces)).max() < force
    assert np.isfinite(said.stresses).all()


@pytest.mark.parametrize("n_kept", [1, 2, 3])
def test_one_structure_and_fewer_rows_than_parameters(model, of_pool, n_kept, pool, store):
    kept = pool.subset(range(1, 1 + n_kept))
    potential = fit(model, kept, store)
    rows = n_kept * 7 + 3 * kept.n_atoms.sum()
    if n_kept == 1:
        assert len(kept.structures[0]) == 2 and rows == 13
        assert rows < parameters(potential) or has_few_parameters(potential)
    assert_sound(potential, kept, store, energy=0.1)
    assert_sound(potential, pool, store, energy=5.0, force=100.0)
    for found in (potential.diagnostics, of_pool.diagnostics):
        judged = found["settings_tried"] > 1  # then by the same rule, whatever is kept
        assert not judged or found["settings_tried"] >= len(model.grid)
        assert found.get("grid_widened", 0.0) <= model.widenings


def parameters(potential: Potential) -> float:
    """Of whatever kind the family has."""
    names = ("n_columns", "n_parameters", "n_sparse", "n_pair_points")
    return sum(potential.diagnostics.get(name, 0.0) for name in names)


def has_few_parameters(potential: Potential) -> bool:
    """A model of somebody else's may; it has fewer than rows of one structure, and describes the pool roughly."""
    return parameters(potential) < 10


def test_one_group_only(model, pool, store):
    """Folds cannot be dealt out by group; what is learnt is the same kind of potential."""
    alone = fit(model, replace(pool, groups=("one",) * len(pool)), store)
    assert_sound(alone, pool, store, energy=0.2)


def test_without_stresses(model, of_pool, pool, store):
    """No label, no say: made-up stresses would move the potential, missing ones do not break it."""
    none = replace(pool, stresses=np.tile(NO_STRESS, (len(pool), 1)))
    some = replace(pool, stresses=np.where(np.arange(len(pool))[:, None] < 4, pool.stresses, np.nan))
    potentials = [fit(model, none, store), fit(model, some, store), of_pool]
    for potential in potentials:
        assert_sound(potential, pool, store, energy=0.5 if has_few_parameters(potential) else 0.2)
    forces = [np.concatenate(potential.predict(pool, store).forces) for potential in potentials]
    assert np.abs(forces[0] - forces[2]).max() > 1e-6 < np.abs(forces[1] - forces[2]).max()


def test_functions_that_are_constant_in_the_subset(model, pool, store):
    """Three times the same perfect crystal: every function is constant, and nothing but its energy can be learnt."""
    crystal = bulk("Si", "diamond", a=5.431)
    kept = replace(
        pool.subset([0, 1, 2]),
        structures=(crystal, crystal.repeat((2, 1, 1)), crystal.repeat((1, 1, 2))),
        energies=-8.2 * np.array([2, 4, 4]),
        forces=tuple(np.zeros((n, 3)) for n in (2, 4, 4)),
        stresses=np.zeros((3, 6)),
    )
    potential = fit(model, kept, store)
    assert_sound(potential, kept, store, energy=0.01, force=0.01)
    assert_sound(potential, pool, store, energy=20.0, force=100.0)


def test_an_element_that_the_subset_has_not(request, model, pool, store):
    """Its atoms may get any finite energy, those of the other element what they would get without it."""
    family = request.node.callspec.params["model"]
    both, alone = (
        small_model(family, f"dataset.elements=[{elements}]", *FEWER.get(family, []))
        for elements in ("Ge,Si", "Si")
    )
    kept = pool.subset(range(6))
    potential = fit(both, kept, store)
    assert_sound(potential, pool, store, energy=0.5)
    mixed = with_germanium(pool)
    said = potential.predict(mixed, store)
    assert np.isfinite(said.energies).all() and np.isfinite(np.concatenate(said.forces)).all()
    single = fit(alone, kept, store).predict(pool, store)
    found = potential.predict(pool, store)
    difference = np.concatenate(found.forces) - np.concatenate(single.forces)
    assert np.sqrt((difference**2).mean()) < 0.2 * np.concatenate(single.forces).std()


TIMES = {"gap": (1, 2)}
"""How often the small cells are there, few and many; else 8 and 16. Beyond 2 a GAP's rows are in blocks of one size."""
FEW_ITERATIONS = {"tuning_iterations": 2, "max_iterations": 2, "final_iterations": 1, "n_networks": 1}


def large_cells(pool: Dataset, times: int) -> Dataset:
    """Cells of 16 atoms from those of 2, all of them ``times`` times, none quite like another.

    Rows outweigh what does not grow with them.
    """
    small = np.flatnonzero(pool.n_atoms == 2)
    some = pool.subset(np.tile(small, times))
    cells = tuple(atoms.repeat(2) for atoms in some.structures)
    for i, atoms in enumerate(cells):
        atoms.rattle(0.02, seed=i)
    return replace(
        some,
        structures=cells,
        energies=8 * some.energies,
        forces=tuple(np.tile(forces, (8, 1)) for forces in some.forces),
        ids=tuple(map(str, range(len(some)))),
    )


def measured(model: Any, kept: Dataset, tuning: Dataset, store: Store) -> tuple[int, int]:
    """The most bytes that a fit takes and reserves; the lower of two, since other threads allocate, too."""
    return min(measured_once(model, kept, tuning, store) for _ in range(2))


def measured_once(model: Any, kept: Dataset, tuning: Dataset, store: Store) -> tuple[int, int]:
    """Of one fit, with whatever Python allocates in the process meanwhile."""
    most, reserve = 0, Memory.reserve

    def watched(memory: Memory, n_bytes: int, what: str) -> None:
        nonlocal most
        reserve(memory, n_bytes, what)
        most = max(most, memory.reserved)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "reserve", watched)
        gc.collect()
        tracemalloc.start()
        model.fit(kept, tuning, store, np.random.default_rng(0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert store.memory.reserved == store.memory.holders == 0
    return peak, most


@pytest.mark.parametrize("tuning", ["kept", pytest.param("pool_validation", marks=pytest.mark.slow)])
def test_a_fit_takes_no_more_memory_than_it_reserves(request, model, tuning, pool, store):
    """Beyond what does not grow with the data: so the growth of the one is at most that of the other."""
    fewer = FEW_ITERATIONS if hasattr(model, "max_iterations") else {}
    model = replace(model, tuning=tuning, **fewer)
    times = TIMES.get(request.node.callspec.params["model"], (8, 16))
    few, many = (large_cells(pool, n) for n in times)
    assert len(set(many.copies)) == len(
        many
    )  # else folds are of copies; found once, before any fit, as in a trial
    assert len(set(few.copies)) == len(few)
    model.prepare(many, store)  # rows are there before a fit, as in a trial
    smallest = many.subset(range(8))
    measured(model, smallest, smallest, store)  # what is imported and compiled does not count
    (few_taken, few_counted), (taken, counted) = (measured(model, kept, kept, store) for kept in (few, many))
    objects = 3000 * (len(many) - len(few))  # bytes: what Python needs for the arrays of a structure
    assert taken - few_taken < 1.02 * (counted - few_counted) + objects
    tight = replace(store, memory_gib=(counted - 1) / GIB)
    with pytest.raises(TamisError, match=r"memory at once, and store.memory_gib is"):
        model.fit(many, many, tight, np.random.default_rng(0))
    assert tight.memory.reserved == tight.memory.holders == 0
