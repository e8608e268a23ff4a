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


def test_the_way_to_the_free_atom_is_smooth(trained, pool):
    """A crystal that is pulled apart: its energy has no jump."""
    potential, data = trained
    changed = tied(potential, data, {"Si": -1.7})
    found = []
    for size in np.linspace(1.0, 3.0, 201):
        atoms = pool.structures[0].copy()
        atoms.set_cell(atoms.cell.array * size, scale_atoms=True)
        found.append(energy(changed, atoms) / len(atoms))
    assert found[-1] == pytest.approx(-1.7, abs=1e-6)
    assert np.abs(np.diff(found)).max() < 1.0  # eV, by 1 % of the length


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
    near = replace(data, inputs=np.concatenate([data.inputs, -data.inputs[:1] * 0.0 + far_of(data)]))
    near = replace(near, species=np.append(data.species, 0))
    same = tied(potential, near, {"Si": -1.7})
    assert energy(same, Atoms("Si")) == pytest.approx(energy(potential, Atoms("Si")), abs=1e-9)
    assert same.networks[0].sizes == potential.networks[0].sizes


def far_of(data):
    """Inputs of a free atom."""
    whitening = data.whitenings[0]
    return whitening.inputs(np.zeros((1, len(whitening.scaling.mean))))
