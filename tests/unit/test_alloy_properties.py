"""Properties of crystals of any symmetry and composition: laws, relations, and EMT as oracle."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cell import Cell
from ase.io import write
from ase.spacegroup import crystal as of_space_group
from tests.alloys import CU3AU, CUAU, SIDEWAYS, Shifted, alloys, turned
from tests.labelled import labelled
from tests.sampling import COPPER, LOOSE, TIGHT, Given, all_of, emt_sample

from tamis.core.errors import TamisError
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data import unit_cell
from tamis.data.crystal import Crystal
from tamis.data.sources.sw_silicon import SwSilicon
from tamis.data.unit_cell import UnitCell, crystal_of, own_crystal, read_crystal
from tamis.evaluation.base import Subject
from tamis.evaluation.dynamics.engine import Integration, Task, integrate
from tamis.evaluation.dynamics.guards import Guardrails
from tamis.evaluation.dynamics.plan import COMPRESSION, MdRun, supercell
from tamis.evaluation.dynamics.trajectory import FINISHED, Trajectory
from tamis.evaluation.properties.base import Measured, PropertyError, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_cell, relaxed_crystal
from tamis.evaluation.properties.elastic import Elastic, invariant_tensors, isotropic, modes_needed
from tamis.evaluation.properties.equation_of_state import EquationOfState
from tamis.evaluation.properties.lattice import Lattice, lattice_of
from tamis.evaluation.properties.phonons import Phonons, special_points
from tamis.evaluation.properties.stage import measure_properties
from tamis.evaluation.properties.surfaces import Surfaces
from tamis.evaluation.properties.vacancy import Vacancy
from tamis.evaluation.properties.wall import Wall

ELASTIC = Elastic(0.005, 1, TIGHT)
LATTICE = Lattice(0.9, 1.1, 3)
NARROW = EquationOfState(2.0, 0.5, 7)
VACANCY = Vacancy(30, (0.0,), LOOSE, False, LOOSE)
ALLOYS = {"L1_2": CU3AU, "L1_0": CUAU, "D0_19": SIDEWAYS}


@cache
def sample_of(name: str) -> Sample:
    return Sample(crystal_of(ALLOYS[name]), EMT())


@cache
def elastic_of(name: str) -> Measured:
    return all_of(ELASTIC, sample_of(name))


def slow(parameter: object) -> object:
    return pytest.param(parameter, marks=pytest.mark.slow)


def plain(crystal: UnitCell) -> UnitCell:
    """Without its symmetries."""
    n = len(crystal.symbols)
    return replace(
        crystal,
        rotations=(((1, 0, 0), (0, 1, 0), (0, 0, 1)),),
        permutations=(tuple(range(n)),),
        equivalent=tuple(range(n)),
        number=1,
    )


# which crystal it is


@pytest.mark.parametrize("name", ALLOYS)
def test_the_crystal_does_not_depend_on_the_cell_that_is_given(name):
    first, second = crystal_of(ALLOYS[name]), crystal_of(turned(ALLOYS[name]))
    assert first.space_group == second.space_group and first.structure == second.structure
    np.testing.assert_allclose(first.vectors, second.vectors, atol=1e-8)
    other = all_of(ELASTIC, Sample(second, EMT())).values
    assert other == pytest.approx(elastic_of(name).values, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("structure", "element"), [("fcc", "Cu"), ("bcc", "Mo"), ("diamond", "Si")])
def test_simple_crystals_are_known_by_their_structure(structure, element):
    found = crystal_of(turned(bulk(element, structure, a=4.0)))
    assert (found.structure, found.element) == (structure, element) and found.a == pytest.approx(4.0)


def test_a_crystal_is_read_from_a_file(tmp_path):
    write(tmp_path / "some.cif", turned(CUAU))
    found = read_crystal(tmp_path / "some.cif")
    assert found.structure == "AuCu (P4/mmm)"
    assert sorted(found.primitive().cell.lengths()) == pytest.approx([2.8, 2.8, 3.6], abs=1e-3)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read .* own"), ("no structure", "cannot be read"), ("molecule", "must be periodic")],
)
def test_a_file_without_a_crystal_is_refused_in_a_sentence(content, says, tmp_path):
    path = tmp_path / "some.xyz"
    if content == "molecule":
        write(path, Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]]))
    elif content:
        path.write_text(content)
    with pytest.raises(TamisError, match=says):
        read_crystal(path)


def test_the_own_crystal_is_the_best_of_the_most_frequent_composition():
    dataset = labelled(alloys(np.random.default_rng(0)), EMT)
    crystal, whose = own_crystal(dataset)
    assert crystal.structure == "AuCu3 (Pm-3m)" and len(crystal.symbols) == 4
    assert whose == dataset.ids[0]
    warm, _ = own_crystal(dataset.subset(range(2, 14)))
    assert warm.structure == "AuCu3 (Pm-3m)"
    gas = Atoms("Au40", scaled_positions=np.random.default_rng(1).random((40, 3)), cell=[12.0] * 3, pbc=True)
    with pytest.raises(TamisError, match="give its file"):
        own_crystal(replace(dataset.subset([0]), structures=(gas,)))


def test_a_source_names_its_own_crystal_or_that_of_a_file(tmp_path):
    dataset = labelled(alloys(np.random.default_rng(0)), EMT)
    some = {"elements": ("Si",), "atom_spacing": 2.7}  # which structures it has does not matter here
    found, said = SwSilicon(**some, crystal="own").crystal_in(dataset)
    assert found == own_crystal(dataset)[0]
    assert said == f"crystal: AuCu3 (Pm-3m), 4 atom(s) in the primitive cell, from {dataset.ids[0]}"
    write(tmp_path / "si.cif", bulk("Si"))
    with pytest.raises(TamisError, match="has Si; the data set has Au, Cu"):
        SwSilicon(**some, crystal=str(tmp_path / "si.cif")).crystal_in(dataset)
    assert SwSilicon(**some).crystal_in(dataset) == (None, "")


# relaxation


@pytest.mark.parametrize("name", ALLOYS)
def test_a_relaxed_crystal_has_no_forces_and_no_stress_and_its_symmetry(name):
    sample = sample_of(name)
    crystal = relaxed_crystal(sample)
    cell = crystal.primitive()
    assert np.abs(sample.forces(cell)).max() < 2e-4
    assert np.abs(sample.stress(cell)).max() < 2e-6
    again = crystal_of(cell, symprec=1e-5)
    assert again.number == crystal.number
    # without symmetries nothing else is found
    free = relaxed_cell(plain(crystal), sample)
    np.testing.assert_allclose(free.vectors, crystal.vectors, atol=1e-4)


def test_a_crystal_far_from_a_minimum_is_not_taken():
    far = CUAU.copy()
    far.set_cell([2.8, 2.8, 2.9], scale_atoms=True)  # relaxes to another one
    with pytest.raises(PropertyError, match="does not stay what it is|without a minimum"):
        relaxed_crystal(Sample(replace(crystal_of(CUAU), vectors=tuple(map(tuple, far.cell.array))), EMT()))


# elastic constants

SYSTEMS = {
    1: 21,
    14: 13,
    62: 9,
    75: 7,
    123: 6,
    147: 7,
    160: 6,
    194: 5,
    225: 3,
}
"""Space group -> independent constants: J. F. Nye, Physical Properties of Crystals (1957), table 9."""


@pytest.mark.parametrize("number", SYSTEMS)
def test_each_symmetry_has_its_number_of_constants(number):
    cellpar = {
        1: [4, 5, 6, 80, 95, 104],
        14: [4, 5, 6, 90, 99, 90],
        62: [4, 5, 6, 90, 90, 90],
        75: [4, 4, 6, 90, 90, 90],
        123: [4, 4, 6, 90, 90, 90],
        225: [4, 4, 4, 90, 90, 90],
    }.get(number, [4, 4, 6, 90, 90, 120])
    atoms = of_space_group(
        ["Au", "Cu"], [(0.0, 0.0, 0.0), (0.21, 0.13, 0.37)], spacegroup=number, cellpar=cellpar
    )
    tensors = invariant_tensors(crystal_of(atoms, symprec=1e-4).turns)
    assert len(tensors) == SYSTEMS[number]
    every = np.array(list(tensors.values()))
    for i, pivot in enumerate(tensors):
        assert every[(slice(None), *pivot)] == pytest.approx(np.eye(len(every))[i], abs=1e-6)
    chosen = every[:, :, modes_needed(tensors)].reshape(len(every), -1)
    assert np.linalg.matrix_rank(chosen, tol=1e-4) == len(every)


@pytest.mark.parametrize("name", [slow("L1_2"), "L1_0"])  # their atoms stay in place under strain
def test_the_stiffness_is_the_second_derivative_of_the_energy(name):
    sample = sample_of(name)
    cell, measured = relaxed_crystal(sample).primitive(), elastic_of(name)
    places, h = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)), 2e-3

    def energy(voigt):
        strain = np.zeros((3, 3))
        for (i, j), value in zip(places, voigt, strict=True):
            strain[i, j] += 0.5 * value
            strain[j, i] += 0.5 * value
        strained = cell.copy()
        strained.set_cell(cell.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return sample.energy(strained)

    unit = np.eye(6) * h
    for i in range(6):
        for j in range(i, 6):
            four = [s * t * energy(s * unit[i] + t * unit[j]) for s in (1, -1) for t in (1, -1)]
            expected = sum(four) / (4 * h * h) / cell.cell.volume * GPA_PER_EV_PER_A3
            assert measured.data["stiffness_GPa"][i][j] == pytest.approx(expected, abs=0.3)


@pytest.mark.slow
def test_all_constants_are_measured_where_no_symmetry_is_known():
    sample = sample_of("D0_19")
    crystal = relaxed_crystal(sample)
    some = elastic_of("D0_19")
    every = all_of(ELASTIC, Sample(plain(crystal), EMT()))
    assert {name for name in every.values if "_C" in name} == {
        f"elastic_C{i}{j}_GPa" for i in range(1, 7) for j in range(i, 7)
    }
    np.testing.assert_allclose(every.data["stiffness_GPa"], some.data["stiffness_GPa"], atol=0.3)


def test_averages_of_a_cubic_crystal_are_those_of_hill():
    c11, c12, c44 = 180.0, 120.0, 75.0
    stiffness = np.diag([c11 - c12] * 3 + [c44] * 3)
    stiffness[:3, :3] += c12
    found = isotropic(stiffness)
    voigt, reuss = (c11 - c12 + 3 * c44) / 5, 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    assert found["elastic_bulk_modulus_GPa"] == pytest.approx((c11 + 2 * c12) / 3)
    assert found["elastic_shear_modulus_GPa"] == pytest.approx(0.5 * (voigt + reuss))


# equation of state, lattice


@pytest.mark.parametrize("name", ["L1_2", "L1_0", slow("D0_19")])
def test_the_bulk_modulus_under_pressure_is_that_of_reuss(name):
    sample = sample_of(name)
    compliance = np.linalg.inv(elastic_of(name).data["stiffness_GPa"])
    found = all_of(NARROW, sample).values
    assert found["eos_bulk_modulus_GPa"] == pytest.approx(1 / compliance[:3, :3].sum(), rel=0.01)
    cell = relaxed_crystal(sample).primitive()
    assert found["eos_volume_A3_per_atom"] == pytest.approx(cell.cell.volume / len(cell), rel=1e-5)


def test_lattice_constants_are_as_many_as_the_symmetry_leaves_free():
    names = {
        name: {key for key in lattice_of(crystal_of(atoms)) if key.startswith("lattice")}
        for name, atoms in ALLOYS.items()
    }
    assert names["L1_2"] == {"lattice_constant_A"}
    assert names["L1_0"] == names["D0_19"] == {"lattice_a_A", "lattice_c_A"}


# a crystal of one element, measured by both ways


@pytest.fixture(scope="module")
def copper():
    """fcc copper as a crystal of any symmetry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit_cell, "SIMPLE", {})
        return Sample(crystal_of(COPPER.conventional()), EMT())


@pytest.mark.parametrize(
    "measured",
    [
        LATTICE,
        slow(NARROW),
        ELASTIC,
        slow(Wall(0.9, 0.5, 5)),
        slow(Vacancy(100, (0.0,), LOOSE, False, LOOSE)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_copper_has_the_same_properties_by_either_way(measured, copper):
    assert isinstance(copper.crystal, UnitCell)
    expected = all_of(measured, emt_sample()).values
    found = all_of(measured, copper).values
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=2e-4, abs=2e-4)


@pytest.mark.slow
def test_phonons_of_copper_are_the_same_by_either_way(copper):
    expected, found = (all_of(Phonons(4, 0.01, 0.05), one).values for one in (emt_sample(), copper))
    for name in expected:  # ASE's path has more points
        assert found[name] == pytest.approx(expected[name], abs=0.02), name


def test_special_points_are_those_of_the_lattice():
    points, paths = special_points(crystal_of(CU3AU))
    assert points == {"gamma": (0, 0, 0), "X": (0, 0.5, 0), "M": (0.5, 0.5, 0), "R": (0.5, 0.5, 0.5)}
    assert {name for line in paths for name in line} == set(points)


# vacancies


def test_vacancies_do_not_depend_on_the_energies_of_free_atoms():
    crystal = crystal_of(CU3AU)
    plainly, shifted = (
        all_of(VACANCY, Sample(crystal, Shifted(shifts))).values
        for shifts in ({"Au": 0.0, "Cu": 0.0}, {"Au": -30.0, "Cu": 7.0})
    )
    assert plainly.keys() == {
        f"vacancy_{which}formation_{relaxed}eV"
        for which in ("", "Au_", "Cu_")
        for relaxed in ("", "unrelaxed_")
    }
    assert shifted == pytest.approx(plainly, abs=1e-5)
    mean = 0.75 * plainly["vacancy_Cu_formation_eV"] + 0.25 * plainly["vacancy_Au_formation_eV"]
    assert plainly["vacancy_formation_eV"] == pytest.approx(mean)
    assert plainly["vacancy_formation_eV"] < plainly["vacancy_formation_unrelaxed_eV"]


# the stage


@pytest.mark.parametrize("name", ["L1_2", "L1_0"])
def test_the_label_giver_of_an_alloy_has_no_errors(name, tmp_path):
    dataset = labelled(alloys(np.random.default_rng(0)), EMT)
    subject = Subject(
        potential=Given(EMT()),
        pool=dataset,
        kept=dataset,
        crystal=crystal_of(ALLOYS[name]),
        reference={},
        label_giver=EMT(),
        store=None,
        folder=tmp_path,
        seed=0,
        label_giver_name="EMT",
        cache=tmp_path / "cache",
    )
    properties = {"lattice": LATTICE, "elastic": ELASTIC, "surfaces": Surfaces(("100",), 5.0, 10.0, LOOSE)}
    for _ in range(2):  # measured, and from the file
        found = measure_properties(properties, subject, 60.0)
        assert found.problems == {
            "properties/surfaces": "surfaces are cut of diamond, bcc and fcc crystals of one element only"
        }
        errors = {name: value for name, value in found.metrics.items() if "_error_" in name}
        assert len(errors) > 7 and set(errors.values()) == {0.0}
        assert found.metrics["properties/failed"] == 0.0


# dynamics


@pytest.mark.parametrize("name", ALLOYS)
@pytest.mark.parametrize("n_atoms", [40, 64, 200])
def test_supercells_are_nearly_cubes_of_the_crystal(name, n_atoms):
    crystal = crystal_of(ALLOYS[name])
    atoms = supercell(crystal, n_atoms)
    assert n_atoms / 1.8 < len(atoms) < n_atoms * 1.8
    lengths = atoms.cell.lengths()
    assert lengths.max() / lengths.min() < 1.6
    assert atoms.cell.volume / len(atoms) == pytest.approx(crystal.volume_per_atom(crystal.a))
    assert len(crystal.supercell(n_atoms, at_least=True)) >= n_atoms
    assert crystal_of(atoms).number == crystal.number


def test_a_skewed_cell_is_compressed_alike_in_all_directions():
    start = crystal_of(SIDEWAYS).supercell(8)
    run = MdRun(COMPRESSION, COMPRESSION, 0, start, 10.0, 10.0, 0.8, 10, 1)
    how = Integration(timestep=1.0, damping=0.1, barostat=0.5, watch_every=5, sample_every=5)
    limits = Guardrails(closest=1.0, hotter_by=4000.0, volume_factor=2.0)
    found = Trajectory.of(
        run, list(integrate(Task(run, Shifted({"Au": 0.0, "Cu": 0.0}), how, limits, 100.0)))
    )
    assert found.end == FINISHED, found.detail
    before, after = Cell(found.cells[0]), Cell(found.cells[-1])
    assert after.volume / before.volume == pytest.approx(0.8, rel=1e-6)
    assert after.angles() == pytest.approx(before.angles(), abs=1e-6) and before.angles().max() > 100.0


def test_a_crystal_of_one_element_may_be_neither_simple_nor_cubic():
    hcp = crystal_of(bulk("Cu", "hcp", a=2.55, c=4.16))
    assert not isinstance(hcp, Crystal) and hcp.system == "hexagonal"
    values = all_of(ELASTIC, Sample(hcp, EMT())).values
    assert {"elastic_C13_GPa", "elastic_C33_GPa", "elastic_bulk_modulus_GPa"} <= values.keys()
