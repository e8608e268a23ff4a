"""What the vacancy's searches are made of: force constants, symmetries, sums over some atoms, saddle points."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.mep import NEB
from ase.optimize import FIRE
from tests.sampling import COPPER, SILICON, all_of, emt_sample, sw_sample

from tamis.bases.snap import SnapBasis
from tamis.data.crystal import Crystal
from tamis.evaluation.properties.base import PropertyError, Sample
from tamis.evaluation.properties.phonons import Phonons
from tamis.evaluation.properties.quasi_newton import Place, highest_between, minimum
from tamis.evaluation.properties.relaxation import StoppingCriteria, relaxed_lattice_constant
from tamis.evaluation.properties.site_symmetry import Operation, Symmetry, forces_about
from tamis.evaluation.properties.springs import force_constants, without_atom
from tamis.evaluation.properties.vacancy import Hole, Jump, Vacancy, highest

CRYSTALS = {
    "diamond": SILICON,
    "fcc": COPPER,
    "bcc": Crystal(structure="bcc", element="Cu", a=2.86),
}
ONE = Symmetry([Operation(np.eye(3), np.array([0]))])
SEARCH = StoppingCriteria(1e-4, 60, 3.0)


def sample_of(structure, folder):
    crystal = CRYSTALS[structure]
    return sw_sample(folder, crystal) if structure == "diamond" else emt_sample(crystal)


def snap_sample():
    """SNAP with random coefficients."""
    basis = SnapBasis(("Si",), 4.0, 4, 0.99363, 0.0, None, None)
    coefficients = np.random.default_rng(3).normal(size=basis.n_features)
    return Sample(SILICON, basis.calculator(coefficients, np.array([-4.0])))


# force constants


@pytest.mark.parametrize("structure", CRYSTALS)
@pytest.mark.parametrize("shape", ["primitive", "conventional"])
def test_force_constants_are_those_of_every_displaced_atom(structure, shape, tmp_path):
    sample = sample_of(structure, tmp_path)
    cell = getattr(sample.crystal, shape)(relaxed_lattice_constant(sample)) * 2
    constants = force_constants(sample, cell, 2, 0.01)
    rng = np.random.default_rng(0)
    for atom in {1, len(cell) - 1}:
        step = rng.normal(size=3)
        step *= 0.01 / np.linalg.norm(step)
        there, back = cell.copy(), cell.copy()
        there.positions[atom] += step
        back.positions[atom] -= step
        pull = -0.5 * (sample.forces(there) - sample.forces(back))
        np.testing.assert_allclose(constants[:, atom] @ step, pull, atol=1e-3 * np.abs(pull).max())


def test_springs_around_a_hole_hold_nothing_in_place_and_pull_both_ways():
    sample = emt_sample()
    cell = COPPER.conventional(relaxed_lattice_constant(sample)) * 2
    springs = without_atom(force_constants(sample, cell, 2, 0.01), 0)
    np.testing.assert_array_equal(springs, springs.T)
    np.testing.assert_allclose(springs @ np.tile(np.eye(3), (len(cell) - 1, 1)), 0.0, atol=1e-2)


def test_phonons_equal_those_of_phonopys_own_symmetries(tmp_path):
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    sample = sw_sample(tmp_path)
    cell = SILICON.primitive(relaxed_lattice_constant(sample))
    inside = PhonopyAtoms(symbols=["Si"] * 2, cell=cell.cell.array, positions=cell.positions)
    phonons = Phonopy(inside, 2 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonons.generate_displacements(distance=0.01, is_plusminus=True)
    phonons.forces = [
        sample.forces(Atoms(moved.symbols, positions=moved.positions, cell=moved.cell, pbc=True))
        for moved in phonons.supercells_with_displacements
    ]
    phonons.produce_force_constants()
    ours = all_of(Phonons(2, 0.01, 0.05), sample).data
    for name, point in (("X", (0.5, 0, 0.5)), ("L", (0.5, 0.5, 0.5)), ("K", (0.375, 0.375, 0.75))):
        theirs = phonons.run_qpoints([point]).frequencies[0]
        np.testing.assert_allclose(ours[f"{name}_THz"], theirs, rtol=1e-3)


# symmetries


@pytest.mark.parametrize(("structure", "number"), [("diamond", 24), ("fcc", 48), ("bcc", 48)])
def test_symmetries_of_a_vacancy(structure, number):
    hole = Hole.without(CRYSTALS[structure].conventional() * 2, 0)
    symmetry, n = hole.symmetry, len(hole.atoms)
    assert len(symmetry.operations) == number
    assert symmetry.weights.sum() == n and symmetry.weights.max() <= number
    directions = symmetry.directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-12)
    anyhow = np.random.default_rng(0).normal(size=(n, 3))
    kept = symmetry.mean(anyhow)
    assert np.abs(kept).max() > 0.01
    for one in symmetry.operations:
        np.testing.assert_allclose(one.turned(kept), kept, atol=1e-12)
    # the directions span what is kept, and the mean is the projection onto it
    np.testing.assert_allclose(directions @ (directions.T @ anyhow.ravel()), kept.ravel(), atol=1e-12)


def test_operations_keep_the_cell():
    """A cube of atoms in a flat periodic cell is no cube."""
    flat = COPPER.conventional() * (2, 2, 1)
    assert len(Symmetry.about(flat, flat.positions[0]).operations) == 16
    assert len(Symmetry.about(COPPER.primitive() * 2, np.zeros(3)).operations) == 48


def test_the_end_of_a_jump_is_the_mirror_image_of_its_start():
    hole = Hole.without(SILICON.conventional() * 2, 0)
    jump = Jump.of(hole)
    assert (len(jump.path.operations), len(jump.middle.operations)) == (6, 12)
    jumper = int(np.abs(jump.ideal.positions - hole.atoms.positions).sum(axis=1).argmax())
    middle = jump.middle_of(hole.moved_in(0.1))
    assert (middle.positions[jumper] == jump.ideal.positions[jumper]).all()
    assert len(Symmetry.about(middle, middle.positions[jumper]).operations) == 12


# sums over some atoms


@pytest.mark.parametrize("weights", [None, {"Si": 1.0, "Ge": 0.8}], ids=["explicit", "weights"])
def test_the_sum_of_all_atoms_is_the_energy_and_sums_add_up(weights):
    basis = SnapBasis(("Si", "Ge"), 4.0, 4, 0.99363, 0.0, {"Si": 0.5, "Ge": 0.45}, weights)
    coefficients = np.random.default_rng(0).normal(size=basis.n_features)
    calculator = basis.calculator(coefficients, np.array([1.0, 2.0]))
    atoms = SILICON.conventional(5.4)
    atoms.symbols[1] = "Ge"
    atoms.rattle(0.1, seed=1)
    atoms.cell[0, 1] = 0.3
    parts = np.array([0.0, 2.0, 0.0, 1.0, 0.5, 0.0, 0.0, 2.0])
    (energy, forces), (rest, others) = (calculator.weighted(atoms, w) for w in (parts, 1.0 - parts))
    assert energy + rest == pytest.approx(calculator.get_property("energy", atoms), rel=1e-10)
    np.testing.assert_allclose(forces + others, calculator.get_property("forces", atoms), atol=1e-9)


def test_equal_atoms_are_computed_once():
    sample = snap_sample()
    hole = Hole.without(SILICON.conventional() * 2, 0)
    atoms = hole.moved_in(0.15)
    energy, forces = hole.symmetry.energy_and_forces(sample, atoms)
    assert energy == pytest.approx(sample.energy(atoms), rel=1e-10)
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(forces, sample.forces(atoms), atol=1e-8)
    atoms.positions[5, 0] += 0.1
    np.testing.assert_allclose(
        forces_about(sample, atoms, atoms.positions[5]), sample.forces(atoms), atol=1e-8
    )


def test_a_sum_that_is_not_finite_is_refused():
    class Bad(Calculator):
        def weighted(self, atoms, weights):
            return np.nan, np.zeros((len(atoms), 3))

    with pytest.raises(PropertyError, match="not finite"):
        ONE.energy_and_forces(Sample(COPPER, Bad()), Atoms("Cu"))


# searches


class Valley(Calculator):
    """One atom in a curved valley: along x the energy ``polynomial``, across it springs of 10 eV/Å²."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, polynomial):
        super().__init__()
        self.polynomial = polynomial

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, y, z = self.atoms.positions[0]
        off = y - 0.3 * np.sin(2.0 * x)
        energy = self.polynomial(x) + 5.0 * off**2 + 5.0 * z**2
        slope = self.polynomial.deriv()(x) - 6.0 * off * np.cos(2.0 * x)
        self.results = {"energy": energy, "forces": -np.array([[slope, 10.0 * off, 10.0 * z]])}


def at(sample, x, springs=10.0):
    atoms = Atoms("Cu", positions=[[x, 0.3 * np.sin(2.0 * x), 0.0]], cell=[9] * 3)
    return Place.of(atoms, sample, ONE, springs * np.eye(3))


def hump(top, end):
    """With extrema at 0, ``top`` and ``end``, of a height of about 0.1 eV."""
    slope = np.polynomial.Polynomial.fromroots([0.0, top, end])
    return slope.integ() * (0.1 / slope.integ()(top))


def test_a_hump_between_two_minima_is_found_where_it_is():
    polynomial = hump(0.55, 1.2)
    sample = Sample(COPPER, Valley(polynomial))
    low, high, near = (at(sample, x) for x in (0.0, 1.2, 0.8))
    near.atoms.positions[0, 2] = 0.2  # off the valley
    top = highest_between(low, high, Place.of(near.atoms, sample, ONE, near.springs), sample, SEARCH, ONE)
    assert top.atoms.positions[0] == pytest.approx([0.55, 0.3 * np.sin(1.1), 0.0], abs=1e-3)
    assert top.energy == pytest.approx(polynomial(0.55), abs=1e-6)


def test_a_line_that_only_rises_has_its_highest_point_at_its_end():
    polynomial = hump(1.0, 2.0)
    sample = Sample(COPPER, Valley(polynomial))
    low, high, near = (at(sample, x) for x in (0.0, 1.0, 0.6))
    assert highest_between(low, high, near, sample, SEARCH, ONE) is high


@pytest.mark.parametrize("springs", [3.0, 10.0, 60.0])
def test_a_minimum_is_found_from_springs_that_are_wrong(springs):
    sample = Sample(COPPER, Valley(hump(0.55, 1.2)))
    found = minimum(at(sample, 0.45, springs), sample, SEARCH, ONE)
    assert found.atoms.positions[0] == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)
    again = minimum(at(sample, -0.3, springs), sample, SEARCH, ONE, [found])
    assert again is found


def test_the_highest_point_of_a_line():
    polynomial = np.polynomial.Polynomial([0.1, 0.0, -0.5, 2.0, 0.7, -1.9])
    places = np.array([0.0, 0.5, 1.0])
    part, rise, curvature = highest(polynomial(places), polynomial.deriv()(places))
    inner = [x.real for x in polynomial.deriv().roots() if abs(x.imag) < 1e-9 and 0.1 < x.real < 1.0]
    assert part == pytest.approx(max(inner, key=polynomial), abs=0.005)
    assert rise == pytest.approx(polynomial(part) - max(polynomial(0.0), polynomial(1.0)), abs=1e-9)
    assert curvature == pytest.approx(polynomial.deriv(2)(part), abs=1e-6)
    assert highest([0.0, 0.5, 1.0], [0.0, 1.5, 0.0])[1] == 0.0  # the end


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["fcc", "bcc"])
def test_the_jump_of_an_atom_has_the_barrier_of_a_nudged_elastic_band(structure):
    """ASE's, between two ends that are each other's mirror images; 3 images, climbing."""
    sample = Sample(CRYSTALS[structure], EMT())
    tight = StoppingCriteria(1e-3, 200, 1.5)
    measured = all_of(Vacancy(16, (0.0,), tight, True, tight), sample)
    full = sample.crystal.conventional(relaxed_lattice_constant(sample)) * 2
    hole = Hole.without(full, 0)
    jump = Jump.of(hole)
    springs = without_atom(force_constants(sample, full, 2, 0.02), 0)
    start = minimum(Place.of(hole.atoms, sample, hole.symmetry, springs), sample, tight, hole.symmetry)
    middle = jump.middle_of(start.atoms)
    images = [start.atoms, start.atoms.copy(), middle, middle.copy(), middle.copy()]
    images[4].positions = 2.0 * middle.positions - start.atoms.positions
    for image in images:
        image.calc = sample.calculator
    band = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate()
    FIRE(band, logfile=None, maxstep=0.1).run(fmax=0.005, steps=300)
    barrier = max(sample.energy(image) for image in images) - start.energy
    assert measured.values["vacancy_migration_eV"] == pytest.approx(barrier, abs=2e-3)
    assert measured.values["vacancy_migration_eV"] > 0.1
