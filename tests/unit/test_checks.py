"""Every guard of tamis.data.checks fires on what it guards against, and stays silent on sound data."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from tamis.core.errors import TamisError
from tamis.core.geometry import check_geometry, periodic_volume
from tamis.data.checks import Tolerances, check_dataset, unusable_cell
from tamis.data.dataset import Dataset


def silicon(n: int = 8) -> Dataset:
    """``n`` rattled cells whose energies scatter and whose forces sum to zero."""
    rng = np.random.default_rng(0)
    structures, forces = [], []
    for i in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=i)
        structures.append(atoms)
        force = rng.normal(size=(8, 3))
        forces.append(force - force.mean(axis=0))
    return Dataset(
        structures=tuple(structures),
        energies=8 * (-5.4 + 0.1 * rng.normal(size=n)),
        forces=tuple(forces),
        stresses=0.01 * rng.normal(size=(n, 6)),
        groups=("MD",) * n,
        blocks=("MD 300 K",) * n,
        ids=tuple(f"train.xyz#{i}" for i in range(n)),
        is_test=np.arange(n) == n - 1,
    )


def with_structure(dataset: Dataset, i: int, atoms: Atoms) -> Dataset:
    structures = list(dataset.structures)
    structures[i] = atoms
    return replace(dataset, structures=tuple(structures))


def with_forces(dataset: Dataset, i: int, forces: np.ndarray) -> Dataset:
    changed = list(dataset.forces)
    changed[i] = forces
    return replace(dataset, forces=tuple(changed))


def with_energy(dataset: Dataset, i: int, energy: float) -> Dataset:
    energies = dataset.energies.copy()
    energies[i] = energy
    return replace(dataset, energies=energies)


def edited(dataset: Dataset, i: int, change) -> Dataset:
    atoms = dataset.structures[i].copy()
    change(atoms)
    return with_structure(dataset, i, atoms)


def test_sound_data_pass_without_a_word(caplog):
    check_dataset(silicon(), ["Si"])
    assert not caplog.records


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["position", "cell", "force", "energy"])
def test_numbers_must_be_finite(what, value):
    data = silicon()
    if what == "energy":
        data = with_energy(data, 3, value)
    elif what == "force":
        forces = data.forces[3].copy()
        forces[2, 1] = value
        data = with_forces(data, 3, forces)
    elif what == "position":
        data = edited(data, 3, lambda atoms: atoms.positions.__setitem__((2, 1), value))
    else:
        data = edited(data, 3, lambda atoms: atoms.cell.array.__setitem__((2, 1), value))
    with pytest.raises(TamisError, match=rf"1 problem.*\n.*train\.xyz#3: {what}.* is {value}"):
        check_dataset(data, ["Si"])


def test_infinite_stress_is_refused_and_missing_stress_is_not(caplog):
    stresses = silicon().stresses.copy()
    stresses[3] = np.nan
    check_dataset(replace(silicon(), stresses=stresses), ["Si"])
    assert not caplog.records
    check_dataset(replace(silicon(), stresses=np.full((8, 6), np.nan)), ["Si"])
    assert "no structure has a stress label" in caplog.text
    stresses[3, 0] = np.inf
    with pytest.raises(TamisError, match="#3: stress is infinite"):
        check_dataset(replace(silicon(), stresses=stresses), ["Si"])


@pytest.mark.parametrize("shape", [(7, 3), (9, 3), (8, 2), (24,)])
def test_forces_of_wrong_length(shape):
    with pytest.raises(TamisError, match=r"#2: forces have shape .* for 8 atoms; \(8, 3\) is needed"):
        check_dataset(with_forces(silicon(), 2, np.zeros(shape)), ["Si"])


def test_an_undeclared_element():
    data = edited(silicon(), 1, lambda atoms: atoms.symbols.__setitem__(0, "Ge"))
    with pytest.raises(TamisError, match=r"#1: has Ge, but dataset.elements is Si"):
        check_dataset(data, ["Si"])
    check_dataset(data, ["Ge", "Si"])


def test_a_declared_element_that_never_occurs_is_a_warning(caplog):
    check_dataset(silicon(), ["Ge", "Si"])
    assert "declared elements that no structure has: Ge" in caplog.text


def test_an_empty_set():
    with pytest.raises(TamisError, match="the data set is empty"):
        check_dataset(silicon().subset([]), ["Si"])


def test_a_structure_without_atoms():
    data = with_forces(with_structure(silicon(), 0, Atoms(cell=[5, 5, 5], pbc=True)), 0, np.zeros((0, 3)))
    with pytest.raises(TamisError, match="#0: has no atoms"):
        check_dataset(data, ["Si"])


def test_one_structure_is_allowed():
    check_dataset(silicon().subset([0]), ["Si"])


def test_overlapping_atoms_also_across_the_cell():
    def collide(atoms):
        atoms.positions[1] = atoms.positions[0] + atoms.cell[0] - [0.4, 0.0, 0.0]

    with pytest.raises(TamisError, match=r"#4: atoms 0 and 1 are 0\.400 Å apart, allowed is 1\.110"):
        check_dataset(edited(silicon(), 4, collide), ["Si"])


def test_an_atom_too_near_to_its_own_image():
    flat = Atoms("Si", cell=[0.9, 6, 6], pbc=True)
    data = with_forces(with_structure(silicon(), 4, flat), 4, np.zeros((1, 3)))
    with pytest.raises(TamisError, match=r"#4: atoms 0 and 0 are 0\.900 Å apart"):
        check_dataset(data, ["Si"])


def test_the_shortest_distance_is_the_users_choice():
    near = edited(
        silicon(), 4, lambda atoms: atoms.positions.__setitem__(1, atoms.positions[0] + [1.3, 0, 0])
    )
    check_dataset(near, ["Si"])
    with pytest.raises(TamisError, match="#4: atoms 0 and 1"):
        check_dataset(near, ["Si"], Tolerances(shortest_distance=0.7))


@pytest.mark.parametrize("volume_is", ["zero", "missing a vector", "tiny"])
def test_periodic_cells_without_volume(volume_is):
    def squash(atoms):
        if volume_is == "zero":
            atoms.set_cell([[5.43, 0, 0], [5.43, 0, 0], [0, 0, 5.43]])
        elif volume_is == "missing a vector":
            atoms.cell[2] = 0.0
        else:
            atoms.set_cell(atoms.cell * 0.2, scale_atoms=True)

    with pytest.raises(TamisError, match=r"#5: periodic cell of .* Å³ per atom"):
        check_dataset(edited(silicon(), 5, squash), ["Si"])


def test_cells_that_are_not_periodic_are_allowed():
    cluster = edited(silicon(), 0, lambda atoms: (atoms.set_pbc(False), atoms.set_cell(None)))
    check_dataset(edited(cluster, 1, lambda atoms: atoms.set_pbc([True, True, False])), ["Si"])


def test_a_periodic_slab_with_balanced_forces_passes():
    slab = fcc111("Al", (2, 2, 3), vacuum=6.0)
    slab.pbc = True
    slab.rattle(0.05, seed=1)
    forces = np.random.default_rng(1).normal(size=(12, 3))
    one = silicon(1)
    data = replace(one, structures=(slab,), forces=(forces - forces.mean(axis=0),))
    check_dataset(data, ["Al"])
    held = data.forces[0].copy()
    held[:4] = 0.0  # what a program writes for fixed atoms
    with pytest.raises(TamisError, match=r"forces sum to .* forces of fixed atoms"):
        check_dataset(replace(data, forces=(held,)), ["Al"])


def test_a_small_net_force_is_a_warning_and_a_large_one_is_refused(caplog):
    data = silicon()
    check_dataset(with_forces(data, 6, data.forces[6] + 1e-3), ["Si"])
    assert not caplog.records
    check_dataset(with_forces(data, 6, data.forces[6] + 1e-2), ["Si"])
    assert "forces do not quite sum to zero: train.xyz#6" in caplog.text
    pushed = with_forces(data, 6, data.forces[6] + 0.1)
    with pytest.raises(TamisError, match="#6: forces sum to"):
        check_dataset(pushed, ["Si"])
    check_dataset(pushed, ["Si"], Tolerances(net_force=1.0))


def test_a_test_structure_that_is_also_for_training():
    data = silicon()
    leak = with_energy(with_structure(data, 7, data.structures[2].copy()), 7, float(data.energies[2]))
    with pytest.raises(
        TamisError, match=r"train\.xyz#2, train\.xyz#7: one structure for training and for testing"
    ):
        check_dataset(leak, ["Si"])


def test_images_and_the_last_digits_do_not_hide_a_copy():
    data = silicon()
    copy = data.structures[2].copy()
    copy.positions[3] += copy.cell[0] - copy.cell[2]
    copy.positions += 1e-9
    leak = with_energy(with_structure(data, 7, copy), 7, float(data.energies[2]))
    with pytest.raises(TamisError, match="one structure for training and for testing"):
        check_dataset(leak, ["Si"])


def test_a_duplicate_in_training_is_a_warning_unless_its_labels_disagree(caplog):
    data = silicon()
    twice = with_structure(data, 5, data.structures[2].copy())
    check_dataset(with_energy(twice, 5, float(data.energies[2])), ["Si"])
    assert "1 structure(s) more than once" in caplog.text and "train.xyz#2, train.xyz#5" in caplog.text
    with pytest.raises(TamisError, match=r"#2, train\.xyz#5: one structure with energies .* eV/atom apart"):
        check_dataset(with_energy(twice, 5, float(data.energies[2]) + 0.1), ["Si"])


def test_the_same_id_twice():
    data = silicon()
    with pytest.raises(TamisError, match=r"train\.xyz#0: this id occurs twice"):
        check_dataset(replace(data, ids=("train.xyz#0", *data.ids[:-1])), ["Si"])


@pytest.mark.parametrize("shift", [-100.0, 5.0, 2000.0])
@pytest.mark.parametrize("n_shifted", [1, 5, 10])
def test_energies_of_mixed_references(shift, n_shifted):
    data = silicon(21)
    energies = data.energies.copy()
    energies[:n_shifted] += 8 * shift
    with pytest.raises(TamisError, match=rf"{n_shifted} problem") as caught:
        check_dataset(replace(data, energies=energies), ["Si"])
    assert "#0: energy" in str(caught.value) and "eV/atom from what its composition suggests" in str(
        caught.value
    )


def test_outliers_too_scattered_to_be_a_second_reference():
    data = silicon(21)
    energies = data.energies.copy()
    energies[:4] += 8 * np.array([10.0, 30.0, 70.0, 150.0])
    with pytest.raises(TamisError, match="4 problem"):
        check_dataset(replace(data, energies=energies), ["Si"])


def test_an_energy_per_atom_among_total_energies():
    data = silicon()
    with pytest.raises(TamisError, match=r"1 problem.*\n.*#3: energy"):
        check_dataset(with_energy(data, 3, float(data.energies[3]) / 8), ["Si"])
    check_dataset(with_energy(data, 3, float(data.energies[3]) / 8), ["Si"], Tolerances(energy_window=6.0))


def test_several_elements_are_judged_by_composition():
    rng = np.random.default_rng(0)
    data = silicon(20)
    reference = {"Si": -5.0, "W": -13.0}
    structures, energies = [], []
    for i, atoms in enumerate(data.structures):
        alloy = atoms.copy()
        alloy.symbols[: i % 9] = "W"
        structures.append(alloy)
        energies.append(sum(reference[s] for s in alloy.get_chemical_symbols()) + rng.normal(scale=0.8))
    alloys = replace(data, structures=tuple(structures), energies=np.array(energies))
    check_dataset(alloys, ["Si", "W"])
    with pytest.raises(TamisError, match=r"1 problem.*\n.*#11: energy"):
        check_dataset(with_energy(alloys, 11, energies[11] + 8 * 5.0), ["Si", "W"])


def test_a_free_atom_is_a_reference_not_an_outlier():
    data = with_structure(silicon(), 3, Atoms("Si", cell=[12, 12, 12], pbc=True))
    free = with_energy(with_forces(data, 3, np.zeros((1, 3))), 3, -0.8)
    check_dataset(free, ["Si"])
    bound = with_structure(silicon(), 3, bulk("Si"))
    with pytest.raises(TamisError, match="#3: energy"):
        check_dataset(with_energy(with_forces(bound, 3, np.zeros((2, 3))), 3, -1.6), ["Si"])


def test_a_large_stress_is_a_warning_and_an_impossible_one_is_refused(caplog):
    check_dataset(replace(silicon(), stresses=silicon().stresses * 160.2), ["Si"])
    assert "stress above 3.0 eV/Å³" in caplog.text
    with pytest.raises(TamisError, match=r"stress reaches .* TPa.*\n[^$]*dataset\.units\.stress .*-kbar"):
        check_dataset(replace(silicon(), stresses=silicon().stresses * 1602.0), ["Si"])


def test_a_molecule_passes():
    water = molecule("H2O")
    data = replace(silicon(1), structures=(water,), forces=(np.zeros((3, 3)),))
    check_dataset(data, ["H", "O"])


def test_all_problems_come_at_once_ten_of_them_printed():
    data = silicon(30)
    energies = data.energies.copy()
    energies[:14] = np.nan
    data = replace(data, energies=energies)
    data = edited(data, 20, lambda atoms: atoms.symbols.__setitem__(0, "Ge"))
    with pytest.raises(TamisError) as caught:
        check_dataset(data, ["Si"])
    message = str(caught.value)
    assert "15 problem(s)" in message and "... and 5 more" in message
    assert message.count("energy is nan") == 10 and "dataset.drop" in message


@pytest.mark.parametrize("name", ["shortest_distance", "net_force", "energy_window"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_tolerances_are_positive_numbers(name, value):
    with pytest.raises(TamisError, match=f"{name} is {value}"):
        Tolerances(**{name: value})


def test_warnings_shorten_long_lists(caplog):
    data = silicon(30)
    with caplog.at_level(logging.WARNING):
        check_dataset(replace(data, forces=tuple(f + 1e-2 for f in data.forces)), ["Si"])
    assert "and 20 more" in caplog.text


@pytest.mark.parametrize(
    ("periodic", "vectors", "volume"),
    [
        ([True, True, False], [[2, 0, 0], [0, 3, 0], [0, 0, 0]], 6.0),
        ([True, True, False], [[2, 0, 0], [0, 3, 0], [1, 1, 9]], 6.0),
        ([False, True, False], [[0, 0, 0], [0, 3, 0], [0, 0, 0]], 3.0),
        ([True, True, True], [[2, 0, 0], [0, 3, 0], [0, 0, 4]], 24.0),
        ([True, True, True], [[2, 0, 0], [0, 3, 0], [0, 0, 0]], 0.0),
        ([True, True, False], [[2, 0, 0], [4, 0, 0], [0, 0, 9]], 0.0),
        ([True, False, True], [[2, 0, 0], [0, 3, 0], [0, 0, 0]], 0.0),
    ],
)
def test_only_periodic_directions_need_a_cell_vector(periodic, vectors, volume):
    atoms = Atoms("Cu", cell=vectors, pbc=periodic)
    assert periodic_volume(atoms) == pytest.approx(volume)
    assert bool(unusable_cell(atoms)) == (volume == 0.0)
    if volume == 0.0:
        with pytest.raises(TamisError, match="cell vectors of all periodic directions"):
            check_geometry(atoms, 1.0)
    else:
        check_geometry(atoms, 1.0)
