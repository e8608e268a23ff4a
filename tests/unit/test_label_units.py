"""Units and signs that do not belong together are found and named; sound sets of every kind are left in peace."""

from dataclasses import replace
from functools import cache

import ase.units
import numpy as np
import pytest
from tests.crossing import crossed
from tests.labelled import (
    alloy,
    copper,
    copper_of_sizes,
    in_units,
    molecules,
    one_atom,
    slabs,
    two_atoms,
    water,
)

from tamis.core.errors import TamisError
from tamis.data.checks import check_dataset
from tamis.data.file_units import FileUnits
from tamis.data.plausibility import unit_doubts
from tamis.data.plausibility.label_units import all_electron_energy
from tamis.data.plausibility.quick_basis import QuickBasis
from tamis.data.plausibility.rough_fit import RoughFit
from tamis.data.plausibility.unit_tables import ENERGIES, FORCES, STRESSES, VIRIALS
from tamis.data.sources.mlearn import Mlearn

MADE = {
    "copper": copper,
    "copper of sizes": copper_of_sizes,
    "five structures": lambda: copper(5),
    "two structures": lambda: copper(2),
    "two atoms": two_atoms,
    "one atom": one_atom,
    "alloy": alloy,
    "periodic slabs": slabs,
    "slabs": lambda: slabs(pbc=(True, True, False)),
    "molecules": molecules,
    "water": water,
    "four waters": lambda: water(n_molecules=4),
}
SOUND = {name: cache(make) for name, make in MADE.items()}
"""Made once: no test changes one."""
WITH_STRESS = ("copper", "copper of sizes", "two atoms", "alloy", "periodic slabs")
WITH_FORCES = ("copper", "copper of sizes", "two atoms", "alloy", "slabs", "water", "four waters")


@pytest.fixture(scope="module", params=SOUND)
def sound(request):
    return SOUND[request.param]()


def said(dataset) -> str:
    return "\n".join(unit_doubts(dataset))


def test_sound_sets_are_left_in_peace(sound):
    assert not unit_doubts(sound)


def test_sound_sets_pass_every_check(sound, caplog):
    check_dataset(sound, sound.elements)
    assert {record.message for record in caplog.records} <= {
        "no structure has a stress label; models are fitted and judged without stress"
    }


@pytest.mark.parametrize(("element", "step"), crossed(["Si", "Ge", "Mo", "Li"], [1, 40]))
def test_mlearn_is_left_in_peace(element, step, shared):
    source = Mlearn(
        element=element, elements=(element,), atom_spacing=2.7, root=str(shared / "mlearn"), base_url=""
    )
    dataset = source.load()
    assert not unit_doubts(dataset.subset(np.arange(0, len(dataset), step)))


def test_tables_of_units_are_those_by_which_files_are_read():
    for key, table in (("energy", ENERGIES), ("forces", FORCES), ("stress", STRESSES), ("virial", VIRIALS)):
        for unit, number in table.items():
            factor = FileUnits(**{key: unit}).factor(key)
            assert factor * number == pytest.approx(1.0, rel=1e-9), f"{key} in {unit}"


@pytest.mark.parametrize(("name", "unit"), crossed(WITH_FORCES, ENERGIES))
def test_energies_in_another_unit(name, unit):
    text = said(in_units(SOUND[name](), energy=ENERGIES[unit]))
    assert "times as large as the forces suggest" in text and f"dataset.units.energy={unit} " in text


@pytest.mark.parametrize(("name", "unit"), crossed(WITH_FORCES, FORCES))
def test_forces_in_another_unit(name, unit):
    assert f"dataset.units.forces={unit})" in said(in_units(SOUND[name](), forces=FORCES[unit]))


@pytest.mark.parametrize("name", WITH_FORCES)
def test_forces_of_the_wrong_sign(name):
    assert "forces with the sign of gradients" in said(in_units(SOUND[name](), forces=-1.0))


@pytest.mark.parametrize("name", [name for name in WITH_FORCES if name != "alloy"])
def test_energies_and_forces_of_a_program_in_atomic_units_beside_positions_in_angstrom(name):
    text = said(in_units(SOUND[name](), energy=ENERGIES["hartree"], forces=FORCES["hartree/bohr"]))
    assert "dataset.units.energy=hartree dataset.units.forces=hartree/bohr" in text


@pytest.mark.parametrize(
    ("name", "unit"), crossed([*WITH_STRESS, "one atom"], ["gpa", "-kbar", "bar", "-gpa", "kbar", "-bar"])
)
def test_stresses_in_another_unit_or_sign(name, unit):
    number = STRESSES[unit.lstrip("-")] * (-1.0 if unit.startswith("-") else 1.0)
    assert f"dataset.units.stress={unit})" in said(in_units(SOUND[name](), stress=number))


@pytest.mark.parametrize("name", [*WITH_STRESS, "one atom"])
def test_stresses_that_are_positive_under_pressure(name):
    assert "dataset.units.stress=-ev/angstrom3" in said(in_units(SOUND[name](), stress=-1.0))


@pytest.mark.parametrize("name", ["copper", "copper of sizes", "alloy"])
def test_virials_under_the_key_of_stresses_and_stresses_under_that_of_virials(name):
    dataset = SOUND[name]()
    volumes = dataset.volumes[:, None]
    assert "a virial in eV (dataset.stress_key=null" in said(
        replace(dataset, stresses=-dataset.stresses * volumes)
    )
    for unit, number in (("ev/angstrom3", 1.0), ("kbar", STRESSES["kbar"])):
        text = said(replace(dataset, stresses=-dataset.stresses / volumes * number))
        assert f"a stress in {unit} that was read as a virial (dataset.virial_key=null" in text


@pytest.mark.parametrize("name", ["copper", "copper of sizes", "alloy", "slabs", "water", "molecules"])
def test_lengths_in_bohr(name):
    dataset = SOUND[name]()
    text = said(in_units(dataset, length=1.0 / ase.units.Bohr))
    assert "set dataset.units.length=bohr" in text
    atomic = in_units(
        dataset, ENERGIES["hartree"], FORCES["hartree/bohr"], STRESSES["hartree/bohr3"], 1.0 / ase.units.Bohr
    )
    assert "set dataset.units.length=bohr" in said(atomic)


@pytest.mark.parametrize("name", ["copper of sizes", "four waters"])
def test_energies_per_atom(name):
    dataset = SOUND[name]()
    assert "energies per atom" in said(replace(dataset, energies=dataset.energies / dataset.n_atoms))


def test_labels_that_agree_with_each_other_and_are_beyond_all_electrons():
    kcal = ENERGIES["kcal/mol"]
    assert "dataset.units.energy=kcal/mol" in said(in_units(water(), energy=kcal, forces=kcal))
    hartree = ENERGIES["hartree"]
    assert "dataset.units.energy=hartree" in said(in_units(water(), energy=hartree, forces=hartree))


def test_the_units_that_are_named_make_the_doubt_go_away():
    wrong = in_units(copper(), energy=ENERGIES["hartree"], stress=-STRESSES["kbar"])
    assert said(wrong)
    assert not said(in_units(wrong, energy=1.0 / ENERGIES["hartree"], stress=-1.0 / STRESSES["kbar"]))


def test_labels_that_belong_to_nothing_say_nothing():
    dataset = copper()
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(len(dataset))
    assert not unit_doubts(
        replace(dataset, energies=dataset.energies[shuffled], stresses=dataset.stresses[shuffled][::-1])
    )


def test_a_refusal_for_impossible_stresses_names_the_unit():
    with pytest.raises(
        TamisError, match=r"of all structures: stresses[\s\S]*dataset.units.stress=-kbar[\s\S]*TPa"
    ):
        check_dataset(in_units(copper(), stress=-STRESSES["kbar"]), ["Cu"])


def test_what_is_found_does_not_depend_on_chance():
    wrong = in_units(alloy(), energy=23.0)
    assert unit_doubts(wrong) == unit_doubts(wrong)


def test_few_atoms_of_large_sets_are_looked_at():
    dataset = copper(3)
    many = dataset.subset(np.zeros(2000, dtype=int))
    comparison = RoughFit.of(many, 0.9)
    assert comparison is not None and 1000 < comparison.dataset.n_atoms.sum() <= 1500


def test_derivatives_of_the_rough_potential():
    dataset = alloy(1)
    atoms = dataset.structures[0]
    basis = QuickBasis((29, 79), 4.5, 4)
    _, forces, strain = basis.rows(atoms)
    step = 1e-4

    def energy(change) -> np.ndarray:
        moved = atoms.copy()
        change(moved)
        return basis.rows(moved)[0]

    def shift(size):
        return lambda moved: moved.positions.__setitem__((3, 1), atoms.positions[3, 1] + size)

    def stretch(size):
        strain = np.eye(3)
        strain[0, 1] = strain[1, 0] = 0.5 * size
        return lambda moved: moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)

    numeric = (energy(shift(step)) - energy(shift(-step))) / (2 * step)
    np.testing.assert_allclose(forces[3, 1], -numeric, atol=1e-6 * np.abs(numeric).max())
    numeric = (energy(stretch(step)) - energy(stretch(-step))) / (2 * step)
    np.testing.assert_allclose(strain[5], numeric, atol=1e-6 * np.abs(numeric).max())
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10 * np.abs(forces).max())


@pytest.mark.parametrize(
    ("number", "hartree"), [(1, -0.5), (6, -37.85), (8, -75.07), (14, -289.4), (26, -1263.3)]
)
def test_energies_of_all_electrons(number, hartree):
    assert all_electron_energy(np.array([number])) == pytest.approx(
        hartree * ase.units.Hartree, rel=0.08 if number == 1 else 0.01
    )


@pytest.mark.parametrize(("unit", "sign"), [("kbar", -1.0), ("gpa", 1.0), ("bar", 1.0)])
def test_advice_is_about_the_numbers_in_the_file(unit, sign):
    """A set in kbar, read with a unit that was typed and is wrong: what is named is the unit of the file."""
    in_file = in_units(copper(), stress=STRESSES["kbar"])
    factor = sign / STRESSES[unit]
    read = replace(in_file, stresses=in_file.stresses * factor)
    (doubt,) = unit_doubts(read, (1.0, 1.0, factor))
    assert doubt.startswith("the numbers in the file") and doubt.endswith(
        "fits kbar (dataset.units.stress=kbar)"
    )
    right = 1.0 / STRESSES["kbar"]
    assert not unit_doubts(replace(in_file, stresses=in_file.stresses * right), (1.0, 1.0, right))


def test_a_unit_that_was_typed_for_nothing_is_to_be_left_out():
    typed = 1.0 / STRESSES["kbar"]
    wrong = replace(copper(), stresses=copper().stresses * typed)
    (doubt,) = unit_doubts(wrong, (1.0, 1.0, typed))
    assert "leave dataset.units out" in doubt
