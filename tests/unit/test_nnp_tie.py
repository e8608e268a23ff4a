"""Networks are tied to free atoms after training: nothing but the energy of the free atom changes."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from tests.families import rattled_silicon, small_model

from tamis.models.nnp.data import gather
from tamis.models.nnp.potential import read_n2p2
from tamis.models.nnp.tie import tied
from tamis.store import Store


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return rattled_silicon(tmp_path_factory.mktemp("sw"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"), 1)


@pytest.fixture(scope="module")
def trained(pool, store):
    model = small_model("nnp", "model.max_iterations=3", "model.final_iterations=1", "model.free_atoms=fit")
    potential = model.fit(pool, pool.subset([]), store, np.random.default_rng(0))
    return potential, gather(pool, model.basis, store, potential.offsets)


def energy(potential, atoms):
    return potential.calculator().get_property("energy", atoms)


@pytest.mark.parametrize("free", [-1.7, 0.0, 25.0])
def test_the_training_set_and_its_surroundings_keep_energies_and_forces(trained, pool, store, free):
    potential, data = trained
    changed = tied(potential, data, {"Si": free})
    moved = [atoms.copy() for atoms in pool.structures]
    for i, atoms in enumerate(moved):
        atoms.rattle(0.1, seed=i)
    wider = replace(pool, structures=tuple(moved))
    for some in (pool, wider):
        before, after = (one.predict(some, store) for one in (potential, changed))
        np.testing.assert_allclose(after.energies, before.energies, atol=1e-5)
        np.testing.assert_allclose(np.concatenate(after.forces), np.concatenate(before.forces), atol=1e-6)
        np.testing.assert_allclose(after.stresses, before.stresses, atol=1e-8)
    assert energy(changed, Atoms("Si")) == pytest.approx(free, abs=1e-6)
    assert abs(energy(potential, Atoms("Si")) - free) > 0.1


def test_the_step_to_the_free_atom_is_smooth_and_goes_one_way(trained, pool):
    """A crystal that is pulled apart: what is added to the networks grows with no jump, and the wells stay."""
    potential, data = trained
    changed = tied(potential, data, {"Si": 3.0})
    calculators = [one.calculator() for one in (changed, potential)]
    missing = 3.0 - energy(potential, Atoms("Si"))
    steps = []
    for size in np.linspace(1.0, 3.0, 401):
        atoms = pool.structures[0].copy()
        atoms.set_cell(atoms.cell.array * size, scale_atoms=True)
        tied_energy, without = (one.get_property("energy", atoms) for one in calculators)
        steps.append((tied_energy - without) / len(atoms) / missing)
    assert steps[0] == pytest.approx(0.0, abs=1e-6) and steps[-1] == pytest.approx(1.0, abs=1e-6)
    assert np.diff(steps).min() > -1e-6 and np.diff(steps).max() < 0.2
    far = np.linspace(1.0, 3.0, 401)[np.searchsorted(steps, [0.01, 0.99])]
    assert far[0] > 1.15 and far[1] - far[0] > 0.05  # beyond the strains of the set, and no wall


def test_files_of_n2p2_say_the_energy_of_the_free_atom(trained, tmp_path):
    potential, data = trained
    changed = tied(potential, data, {"Si": -1.7})
    assert changed.offsets.tolist() == [-1.7]
    changed.write(tmp_path)
    assert energy(read_n2p2(tmp_path), Atoms("Si")) == pytest.approx(-1.7, abs=1e-6)
    again = tied(changed, data, {"Si": -0.9})
    assert energy(again, Atoms("Si")) == pytest.approx(-0.9, abs=1e-6)


def test_functions_that_are_constant_tell_a_free_atom_too(pool, store):
    """A single perfect crystal: the inputs of its networks say nothing."""
    from ase.build import bulk

    crystal = replace(
        pool.subset([0, 1]),
        structures=(bulk("Si", a=5.431), bulk("Si", a=5.431) * (2, 1, 1)),
        energies=np.array([-8.0, -16.0]),
        forces=(np.zeros((2, 3)), np.zeros((4, 3))),
        stresses=np.zeros((2, 6)),
        free_energies={"Si": -1.0},
    )
    model = small_model("nnp", "model.max_iterations=3", "model.free_atoms=fix")
    potential = model.fit(crystal, crystal.subset([]), store, np.random.default_rng(0))
    assert energy(potential, Atoms("Si")) == pytest.approx(-1.0, abs=1e-6)
    assert energy(potential, crystal.structures[1]) == pytest.approx(-16.0, abs=0.01)


def test_a_set_with_atoms_as_good_as_free_is_left_as_it_is(trained):
    potential, data = trained
    whitening = data.whitenings[0]
    free = whitening.inputs(np.zeros((1, len(whitening.scaling.mean))))
    near = replace(data, inputs=np.concatenate([data.inputs, free]), species=np.append(data.species, 0))
    same = tied(potential, near, {"Si": -1.7})
    assert energy(same, Atoms("Si")) == pytest.approx(energy(potential, Atoms("Si")), abs=1e-9)
    assert "a free atom of Si has not the energy of its label" in same.problem
