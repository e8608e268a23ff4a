"""Fillers in place of labels are found; true zeros are left in peace."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from tests.labelled import copper, labelled, one_atom

from tamis.core.errors import TamisError
from tamis.data.checks import Tolerances, check_dataset
from tamis.data.plausibility import find_fillers


def filler_problems(dataset):
    return find_fillers(dataset)[0]


def filler_doubts(dataset):
    return find_fillers(dataset)[1]


def zeroed(dataset, members):
    """Forces of ``members`` are 0."""
    return replace(
        dataset,
        forces=tuple(
            np.zeros_like(force) if i in members else force for i, force in enumerate(dataset.forces)
        ),
    )


def crystals(n=6):
    """fcc, diamond and zincblende at several volumes, and rock salt: neighbours balance, forces are 0."""
    structures = []
    for i in range(n):
        factor = 0.97 + 0.01 * i
        structures += [
            bulk("Cu", cubic=True, a=3.61 * factor),
            bulk("Al", "diamond", a=6.0 * factor),
            bulk("CuAu", "zincblende", a=5.8 * factor),
            bulk("CuAu", "rocksalt", a=5.3 * factor),
        ]
    dataset = labelled(structures, EMT)
    return replace(dataset, forces=tuple(np.zeros_like(force) for force in dataset.forces))


def test_forces_that_are_all_zero_are_refused_with_a_way_on(caplog):
    dataset = zeroed(copper(), range(30))
    with pytest.raises(TamisError, match=r"every force of every structure is 0[\s\S]*dataset\.forces_key"):
        check_dataset(dataset, ["Cu"])
    check_dataset(dataset, ["Cu"], Tolerances(zero_forces=True))
    assert "all forces are 0 where neighbours do not balance" in caplog.text


def test_zero_forces_of_a_part_are_named():
    [doubt] = filler_doubts(zeroed(copper(), (3, 7, 8)))
    assert "all forces are 0" in doubt and doubt.endswith("set.xyz#3, set.xyz#7, set.xyz#8")
    assert not filler_problems(zeroed(copper(), (3, 7, 8)))


def test_true_zeros_of_symmetric_crystals_are_left_in_peace():
    for dataset in (crystals(), one_atom()):
        assert not filler_problems(dataset) and not filler_doubts(dataset)


def test_one_relaxed_structure_among_others_is_left_in_peace():
    assert not filler_doubts(zeroed(copper(), (3,)))


def test_stresses_that_are_all_zero_are_refused():
    for dataset in (copper(), one_atom(), crystals()):
        filled = replace(dataset, stresses=np.zeros_like(dataset.stresses))
        [problem] = filler_problems(filled)
        assert "every stress is 0" in problem and "dataset.stress_key=null dataset.virial_key=null" in problem


def test_zero_stresses_of_a_part_are_named():
    dataset = copper()
    stresses = dataset.stresses.copy()
    stresses[[2, 5]] = 0.0
    [doubt] = filler_doubts(replace(dataset, stresses=stresses))
    assert "stress is 0 where it cannot be" in doubt and doubt.endswith("set.xyz#2, set.xyz#5")


def test_missing_stresses_are_no_zeros():
    dataset = copper()
    missing = replace(dataset, stresses=np.full_like(dataset.stresses, np.nan))
    assert not filler_doubts(missing) and not filler_problems(missing)


@pytest.mark.parametrize("energy", [0.0, -12.5])
def test_one_energy_for_all_is_refused_and_for_most_is_named(energy):
    dataset = copper()
    [problem] = filler_problems(replace(dataset, energies=np.full(30, energy)))
    assert f"every energy is {energy:.6g} eV" in problem and "dataset.energy_key" in problem
    energies = np.where(np.arange(30) < 20, energy, dataset.energies)
    assert (
        "one energy for structures whose forces differ"
        in filler_doubts(replace(dataset, energies=energies))[0]
    )


def test_the_same_labels_again():
    dataset = copper()
    forces = list(dataset.forces)
    forces[4] = forces[11] = forces[3]
    doubts = filler_doubts(replace(dataset, forces=tuple(forces)))
    assert doubts == ["the same forces for different structures: set.xyz#3, set.xyz#4, set.xyz#11"]
    stresses = dataset.stresses.copy()
    stresses[6] = stresses[5]
    [doubt] = filler_doubts(replace(dataset, stresses=stresses))
    assert doubt == "the same stress for different structures: set.xyz#5, set.xyz#6"


def test_copies_may_have_the_same_labels():
    dataset = copper(4)
    moved = dataset.structures[1].copy()
    moved.positions += [0.3, 0.2, 0.1]
    moved.wrap()
    structures = (*dataset.structures[:2], moved, dataset.structures[3])
    forces = (*dataset.forces[:2], dataset.forces[1], dataset.forces[3])
    stresses = dataset.stresses[[0, 1, 1, 3]]
    assert not filler_doubts(replace(dataset, structures=structures, forces=forces, stresses=stresses))


def test_sets_of_molecules_and_of_one_structure_are_looked_at():
    lone = labelled([Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]])], EMT)
    assert not filler_doubts(zeroed(lone, (0,))) and not filler_problems(zeroed(lone, (0,)))
    assert not filler_doubts(copper(3).subset([])) and not filler_problems(copper(3).subset([]))
